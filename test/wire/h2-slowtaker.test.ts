import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { testGateway } from '../kit/gateway.ts';
import { SessionEnd } from '../kit/h2pair.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): unknown }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('a backend that takes a piece of an upload now and then is waited for, until it takes nothing for its time', async () => {
  const windowBytes = 1_000;
  const end = new SessionEnd('server', { streamWindowBytes: windowBytes });
  end.isReading = false;
  end.onHeaders = (stream, isEnd) => {
    if (isEnd) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
  };
  let peer: Socket | undefined;
  const server = createServer((socket) => {
    peer = socket;
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      end.receive(bytes);
      socket.write(end.takeOutput());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  // It brings the backend's SETTINGS.
  await exchange({ port: gateway.port }, get('/', 'gw.test'));
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: () => server.close() }, gateway, { stop: () => client.destroy() });
  client.send(`POST / HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 10000\r\n\r\n${'x'.repeat(10_000)}`);
  const takenBytes = () => end.bodies.get(3)?.length ?? 0;
  const timeIsUp = () => {
    gateway.gateway.pools.streams.forEach((each) => {
      each.expired(performance.now());
    });
  };
  await waitUntil(() => takenBytes() >= windowBytes, 'the window to be full');
  const first = takenBytes();
  const stream = end.streams.get(3);
  assert.ok(stream !== undefined);
  end.session.consumed(stream, stream.unconsumed);
  peer?.write(end.takeOutput());
  await waitUntil(() => takenBytes() > first, 'more of it');
  timeIsUp();
  assert.equal(gateway.records.length, 1);
  timeIsUp();
  await waitUntil(() => gateway.records.length === 2, 'the end');
  assert.deepEqual(
    gateway.records.map(({ status, flag }) => `${status} ${flag}`),
    ['200 -', '504 UST'],
  );
});
