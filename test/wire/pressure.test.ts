import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { after, before, test } from 'node:test';
import { upload } from '../kit/flow.ts';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { waitUntil } from '../kit/wait.ts';

const mib = 1 << 20;
/** What one bad peer may cost the worker at most. */
const growthBound = 64 * mib;

let recorder: Recorder;
/** Takes connections and reads nothing before it is told to. */
let stalling: Server;
const stalled: Socket[] = [];
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'x'.repeat(10_000)) });
  stalling = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined);
    stalled.push(socket);
  });
  stalling.listen(0, '127.0.0.1');
  await once(stalling, 'listening');
  const open = { 'proxy-body-size': '0' };
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'all', host: 'gw.test', paths: { '/': 'recorder' } }),
      ingress({ name: 'stall', host: 'stall.test', paths: { '/': 'stalling' }, annotations: open }),
      ...service('recorder', [recorder.port]),
      ...service('stalling', [(stalling.address() as AddressInfo).port]),
    ],
  });
  await warmUp();
});

/** The heap grows with the first requests to the size that it keeps; that is not what a bad peer costs. */
async function warmUp(): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const client = await RawClient.open({ port: sluice.httpPort });
    client.send(get('/', 'gw.test').repeat(2_000));
    await waitUntil(() => client.receivedBytes > 20_000_000, 'all answers');
    client.destroy();
  }
}

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  for (const socket of stalled) socket.destroy();
  stalling?.close();
});

function workerBytes(): number {
  return residentBytes(childrenOf(sluice.process.pid)[0] ?? 0);
}

async function assertOthersAreServed(): Promise<void> {
  for (let i = 0; i < 50; i++) {
    assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'gw.test'))).status, 200);
  }
}

test('a backend that stops reading stops the client, and nothing is lost', async () => {
  const startBytes = workerBytes();
  const bytes = 128 * mib;
  const done = upload({ port: sluice.httpPort, host: 'stall.test' }, bytes);
  await waitUntil(() => stalled.length === 1, 'the upload to reach the backend');
  await assertOthersAreServed();
  assert.ok(workerBytes() - startBytes < growthBound);
  const [socket] = stalled as [Socket];
  let seen = 0;
  let headBytes = 0;
  socket.on('data', (chunk: Buffer) => {
    if (seen === 0) headBytes = chunk.indexOf('\r\n\r\n') + 4;
    seen += chunk.length;
    if (seen - headBytes === bytes) {
      const count = String(seen - headBytes);
      socket.end(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${count.length}\r\n\r\n${count}`);
    }
  });
  socket.resume();
  assert.equal(await done, bytes);
});

test('a client that pipelines without reading costs little, and others are served', async (context) => {
  const startBytes = workerBytes();
  recorder.take();
  const client = await RawClient.open({ port: sluice.httpPort });
  client.socket.pause();
  client.send(get('/flood', 'gw.test').repeat(9_000));
  await assertOthersAreServed();
  const growth = workerBytes() - startBytes;
  const forwarded = recorder.take().filter((request) => request.target === '/flood').length;
  context.diagnostic(`worker grew by ${(growth / mib).toFixed(1)} MiB, ${forwarded} of 9000 requests were forwarded`);
  assert.ok(growth < growthBound);
  assert.ok(forwarded < 5_000, 'requests whose answers nobody takes are not forwarded without end');
  client.destroy();
});
