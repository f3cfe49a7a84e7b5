import assert from 'node:assert/strict';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { frameTypes, settingIds } from '../../proxy/frame/codes.ts';
import { testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame, SessionEnd } from '../kit/h2pair.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { plainTable, row } from '../kit/rows.ts';
import { SessionBackend } from '../kit/sessionbackend.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

/** Connections of a backend that allows ten streams on each, and answers late. */
class LateBackend {
  readonly #ends: [SessionEnd, Socket][] = [];
  readonly server = createServer((socket) => {
    const end = new SessionEnd('server', { streams: 10 });
    this.#ends.push([end, socket]);
    socket.write(end.takeOutput());
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => end.receive(bytes));
  });

  get requests(): number {
    return this.#ends.reduce((sum, [{ events }]) => sum + events.filter((each) => each.includes('headers')).length, 0);
  }

  /** Says all that there is to say, and goes. */
  answer(): void {
    for (const [end, socket] of this.#ends.splice(0)) {
      for (const stream of [...end.streams.values()]) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
      socket.end(end.takeOutput());
    }
  }
}

test('a new connection begins with the streams that the endpoint allowed on the one before', async () => {
  const backend = new LateBackend();
  await new Promise<void>((resolve) => backend.server.listen(0, '127.0.0.1', resolve));
  const { port } = backend.server.address() as AddressInfo;
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push({ stop: async () => void backend.server.close() }, gateway);
  const clients = await Promise.all(Array.from({ length: 30 }, () => RawClient.open({ port: gateway.port })));
  for (const client of clients) opened.push({ stop: async () => client.destroy() });
  clients[0]?.send(get('/', 'gw.test'));
  await waitUntil(() => backend.requests === 1, 'the first request');
  backend.answer();
  await clients[0]?.response(0);
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connection to end');
  for (const client of clients) client.send(get('/', 'gw.test'));
  await waitUntil(() => backend.requests === 30 || gateway.records.length > 1, 'all requests to be taken');
  backend.answer();
  await waitUntil(() => gateway.records.length === 31, 'all answers');
  assert.deepEqual([...new Set(gateway.records.map(({ status, tries }) => `${status} ${tries}`))], ['200 1']);
});

test('what a server allowed before does not bind one that took its place and limits nothing', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server');
    ends.push(end);
    end.takeOutput();
    end.session.sender.settings(ends.length === 1 ? [[settingIds.maxConcurrentStreams, 1]] : []);
    end.onHeaders = (stream) => {
      const isHeld = end.events.at(-1)?.includes('/held') === true;
      if (!isHeld) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  await exchange({ port: gateway.port }, get('/', 'gw.test'));
  backend.cut();
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connection to end');
  await exchange({ port: gateway.port }, get('/', 'gw.test'));
  const clients = await Promise.all(Array.from({ length: 3 }, () => RawClient.open({ port: gateway.port })));
  for (const client of clients) {
    opened.push({ stop: async () => client.destroy() });
    client.send(get('/held', 'gw.test'));
  }
  await waitUntil(() => ends.slice(1).reduce((sum, { streams }) => sum + streams.size, 0) === 3, 'all requests');
  assert.equal(backend.connections, 2);
});

test('a request that waits for a stream goes when the backend allows more of them', async () => {
  // It would take two from the start, and says at first that it does not.
  const end = new SessionEnd('server', { streams: 2 });
  const allow = (streams: number) => {
    const setting = Buffer.alloc(6);
    setting.writeUInt16BE(settingIds.maxConcurrentStreams, 0);
    setting.writeUInt32BE(streams, 2);
    peer?.write(frame(frameTypes.settings, 0, 0, setting));
  };
  let peer: Socket | undefined;
  const server = createServer((socket) => {
    peer = socket;
    socket.write(end.takeOutput());
    allow(1);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => {
      end.receive(bytes);
      socket.write(end.takeOutput());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const table = plainTable([{ address: '127.0.0.1', port: (server.address() as AddressInfo).port }]);
  const one = { connections: 1, pending: 0, requests: 0, retries: 0 };
  const gateway = await testGateway([...table, row('backend', { id: 'b', protocol: 'h2c', circuit: one })]);
  opened.push({ stop: async () => void server.close() }, gateway);
  const clients = await Promise.all(Array.from({ length: 2 }, () => RawClient.open({ port: gateway.port })));
  for (const client of clients) opened.push({ stop: async () => client.destroy() });
  const [first, second] = clients as [RawClient, RawClient];
  const requests = () => end.events.filter((each) => each.includes('headers')).length;
  first.send(get('/', 'gw.test'));
  await waitUntil(() => requests() === 1, 'the first request');
  const { circuit } = (gateway.live.backend('b') as NonNullable<ReturnType<typeof gateway.live.backend>>).state;
  second.send(get('/', 'gw.test'));
  await waitUntil(() => circuit.waiting.size === 1, 'the second to wait');
  allow(2);
  await waitUntil(() => circuit.waiting.size === 0, 'the second to have its stream');
  await waitUntil(() => requests() === 2 || gateway.records.length > 0, 'the second at the backend');
  assert.equal(requests(), 2);
});

test('a connection that is being opened takes no more requests than one that is open', async () => {
  const ends: SessionEnd[] = [];
  const backend = await SessionBackend.start(() => {
    const end = new SessionEnd('server', { streams: 100_000 });
    ends.push(end);
    end.onHeaders = (stream) => {
      if (end === ends[0]) end.session.respond(stream, 200, 'Content-Length: 0\r\n', true);
    };
    return end;
  });
  const gateway = await testGateway(
    [...plainTable([{ address: '127.0.0.1', port: backend.port }]), row('backend', { id: 'b', protocol: 'h2c' })],
    { streams: 1_000 },
  );
  const clients = [await H2Client.open({ port: gateway.port }), await H2Client.open({ port: gateway.port })];
  opened.push(backend, gateway);
  for (const { client } of clients) opened.push({ stop: async () => client.destroy() });
  const lines = [':method: GET', ':scheme: http', ':path: /', ':authority: gw.test'];
  for (const client of clients) {
    client.greet();
    client.send(client.headers(1, lines));
    assert.deepEqual((await client.answered(1)).statuses, [200]);
  }
  backend.cut();
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connection to end');
  for (const client of clients) {
    client.send(...Array.from({ length: 515 }, (_, i) => client.headers(3 + 2 * i, lines)));
  }
  const counts = () => ends.slice(1).map(({ streams }) => streams.size);
  await waitUntil(() => counts().reduce((sum, count) => sum + count, 0) === 1_030, 'all requests to be there');
  assert.deepEqual(counts(), [1_024, 6]);
});

test('connections of a backend that takes no streams do not gather', async () => {
  const backend = await SessionBackend.start(() => new SessionEnd('server', { streams: 0 }));
  const gateway = await testGateway([
    ...plainTable([{ address: '127.0.0.1', port: backend.port }]),
    row('backend', { id: 'b', protocol: 'h2c' }),
  ]);
  opened.push(backend, gateway);
  for (let i = 0; i < 5; i++) assert.equal((await exchange({ port: gateway.port }, get('/', 'gw.test'))).status, 503);
  assert.ok(backend.connections >= 5);
  await waitUntil(() => gateway.gateway.counts().upstream === 0, 'the connections to end');
});
