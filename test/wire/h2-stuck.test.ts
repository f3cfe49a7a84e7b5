import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a connection to a backend that takes nothing any more is not left open behind the requests that were on it', async () => {
  let backend: Socket | undefined;
  const server = createServer((socket) => {
    const end = new SessionEnd('server', { streamWindowBytes: 50_000_000, connectionWindowBytes: 60_000_000 });
    // It gives room for all of an upload, and reads none of it.
    end.onHeaders = () => socket.pause();
    backend = socket;
    socket.on('data', (bytes: Buffer) => {
      end.receive(bytes);
      socket.write(end.takeOutput());
    });
    socket.write(end.takeOutput());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const timeouts = { connectMs: 5_000, sendMs: 300, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const rows = [row('backend', { id: 'b', protocol: 'h2c' }), row('route', { id: 'r', timeouts })];
  const gateway = await testGateway([...plainTable([{ address: '127.0.0.1', port }]), ...rows], { lingerMs: 200 });
  opened.push({ stop: async () => void server.close() }, gateway);
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.send('POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 40000000\r\n\r\n');
  client.send(Buffer.alloc(40_000_000));
  await waitUntil(() => gateway.records[0]?.flag === 'UST', 'the upload to be given up');
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connection to be gone');
  const how = new Promise<string>((resolve) => {
    backend?.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    backend?.on('end', () => resolve('all of it was sent'));
  });
  backend?.resume();
  assert.equal(await how, 'ECONNRESET');
});
