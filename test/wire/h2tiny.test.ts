import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, test } from 'node:test';
import { frameFlags, frameTypes, preface, settingIds } from '../../proxy/frame/codes.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, readFrames } from '../kit/h2pair.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

const mib = 1 << 20;
const streams = 30;
const each = 65_535;

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const one of opened.reverse()) await one.stop();
});

/** Answers each request with a byte in each of as many frames as the stream's window takes; `read()` when all was read. */
async function tinyBackend(): Promise<{ port: number; read(): boolean }> {
  // An indexed `:status: 200` (RFC 7541 appendix A).
  const bytes = (id: number) =>
    Buffer.concat([
      frame(frameTypes.headers, frameFlags.endHeaders, id, '\x88'),
      ...Array<Buffer>(each).fill(frame(frameTypes.data, 0, id, 'x')),
      frame(frameTypes.ping, 0, 0, 'are read'),
    ]);
  let echoes = 0;
  const server = createServer((socket) => {
    let received = Buffer.alloc(0);
    let seen = 0;
    socket.on('error', () => undefined);
    socket.write(frame(frameTypes.settings, 0, 0));
    socket.on('data', (part: Buffer) => {
      received = Buffer.concat([received, part]);
      for (const { type, flags, streamId } of readFrames(received.subarray(preface.length)).slice(seen)) {
        seen++;
        if (type === frameTypes.headers) socket.write(bytes(streamId));
        if (type === frameTypes.ping && (flags & frameFlags.ack) !== 0) echoes++;
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push({ stop: async () => void server.close() });
  return { port: (server.address() as AddressInfo).port, read: () => echoes === streams };
}

test('a backend that sends every byte in a frame of its own fills no memory while the client takes nothing', async () => {
  const backend = await tinyBackend();
  const sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'tiny' }, annotations: { 'backend-protocol': 'GRPC' } }),
      ...service('tiny', [backend.port]),
    ],
  });
  opened.push(sluice);
  const [worker = 0] = childrenOf(sluice.process.pid);
  const before = residentBytes(worker);
  const client = await H2Client.open({ port: sluice.httpPort });
  opened.push({ stop: async () => client.destroy() });
  client.greet([settingIds.initialWindowSize, 0]);
  const request = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  client.send(...Array.from({ length: streams }, (_, at) => client.headers(2 * at + 1, request)));
  await waitUntil(backend.read, 'the gateway to have read it all');
  const grown = residentBytes(worker) - before;
  assert.ok(grown < 100 * mib, `${Math.round(grown / mib)} MiB for ${Math.round((streams * each) / mib)}`);
});
