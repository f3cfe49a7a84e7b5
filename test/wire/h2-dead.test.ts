import assert from 'node:assert/strict';
import { type AddressInfo, createServer } from 'node:net';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a connection to a backend that died without a word is left, though no request waits for as long as it may', async () => {
  let connections = 0;
  let dead = 0;
  const server = createServer((socket) => {
    const index = ++connections;
    const end = new SessionEnd('server');
    end.onHeaders = (stream) => end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      if (index <= dead) return;
      end.receive(bytes);
      socket.write(end.takeOutput());
    });
    socket.write(end.takeOutput());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const timeouts = { connectMs: 1_000, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
    row('route', { id: 'r', timeouts }),
  ]);
  opened.push({ stop: async () => void server.close() }, gateway);
  const status = async () => (await exchange({ port: gateway.port }, get('/', 'gw.test'))).status;
  assert.equal(await status(), 200);
  dead = 1;
  gateway.apply([row('route', { id: 'r', timeouts: { ...timeouts, requestMs: 1_500 } })]);
  assert.equal(await status(), 504);
  gateway.apply([row('route', { id: 'r', timeouts: { ...timeouts, requestMs: 10_000 } })]);
  assert.equal(await status(), 200);
  assert.equal(connections, 2);
});
