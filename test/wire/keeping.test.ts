import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Backend } from '#table/backend.ts';
import type { Listener } from '#table/listener.ts';
import { errorCodes, frameTypes, settingIds } from '../../proxy/frame/codes.ts';
import type { Limits } from '../../proxy/listen/limits.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Backend, type H2Request, h2Answer } from '../kit/h2backend.ts';
import { H2Client } from '../kit/h2client.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const asTold = {
  clients: { idleMs: null, headMs: null, bodyIdleMs: null, requests: null, streams: null },
  keepAlive: { connections: null, requests: null, idleMs: null, lifetimeMs: null },
};

interface Wish {
  clients?: Partial<Listener['clients']>;
  keepAlive?: Partial<Backend['keepAlive']>;
  protocol?: Backend['protocol'];
  limits?: Partial<Limits>;
}

async function rig(backend: { port: number; stop(): Promise<void> }, wish: Wish): Promise<TestGateway> {
  const { protocol = 'http' } = wish;
  const rows = plainTable([{ address: '127.0.0.1', port: backend.port }]).map((each) => {
    if (each.kind === 'listener')
      return row('listener', { ...each.row, clients: { ...asTold.clients, ...wish.clients } });
    if (each.kind !== 'backend') return each;
    return row('backend', { ...each.row, protocol, keepAlive: { ...asTold.keepAlive, ...wish.keepAlive } });
  });
  const gateway = await testGateway(rows, wish.limits);
  opened.push(backend, gateway);
  return gateway;
}

async function askTimes(gateway: TestGateway, times: number): Promise<void> {
  for (let i = 0; i < times; i++) assert.equal((await exchange({ port: gateway.port }, get('/', 'a'))).status, 200);
}

const connectionsFor6: readonly [string, Wish, number][] = [
  ['requests of the row', { keepAlive: { requests: 2 } }, 3],
  ['requests of the worker', { limits: { upstreamRequests: 3 } }, 2],
  ['none kept', { keepAlive: { connections: 0 } }, 6],
  ['too old at once', { keepAlive: { lifetimeMs: 1, idleMs: 1 } }, 6],
  ['no limit of time', { keepAlive: { lifetimeMs: 0, idleMs: 0 }, limits: { upstreamIdleMs: 1 } }, 1],
];

for (const [name, wish, count] of connectionsFor6) {
  test(`backend connections, ${name}: ${count} for six requests`, async () => {
    // Later than a millisecond, which is how old a connection may be in one of the cases.
    const backend = await Recorder.start({ onRequest: (request) => setTimeout(() => answer(request, 'ok'), 4) });
    await askTimes(await rig(backend, wish), 6);
    assert.equal(backend.connections.length, count);
  });
}

for (const [seconds, count] of [
  [1, 6],
  [100, 1],
] as const) {
  test(`a backend that keeps connections for ${seconds} s has ${count} for six requests: one is left a second before it is`, async () => {
    const backend = await Recorder.start({
      onRequest: (request) => answer(request, 'ok', 200, [`Keep-Alive: timeout=${seconds}`]),
    });
    await askTimes(await rig(backend, {}), 6);
    assert.equal(backend.connections.length, count);
  });
}

test('where memory is short, half of the idle backend connections go at a time, the oldest first', async () => {
  const held: RecordedRequest[] = [];
  const backend = await Recorder.start({ onRequest: (request) => held.push(request) });
  const gateway = await rig(backend, {});
  const answers = Array.from({ length: 4 }, () => exchange({ port: gateway.port }, get('/', 'a')));
  await waitUntil(() => held.length === 4, 'all four requests');
  for (const request of held) answer(request, 'ok');
  await Promise.all(answers);
  const { pools } = gateway.gateway;
  const left: number[] = [];
  for (let i = 0; i < 4; i++) {
    left.push(pools.idleCount());
    pools.closeHalf();
  }
  assert.deepEqual(left, [4, 2, 1, 0]);
});

test('what a worker does whose memory is short, and what when there is none left', async () => {
  const backend = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await rig(backend, {});
  const { pressure, pools } = gateway.gateway;
  const clients = [await RawClient.open(gateway), await RawClient.open(gateway)] as const;
  opened.push(...clients.map((client) => ({ stop: async () => client.destroy() })));
  const [one, other] = clients;
  for (const client of clients) {
    client.send(get('/', 'a'));
    assert.equal((await client.response(0)).status, 200);
  }
  backend.take();
  pressure.isFull = pressure.isOut = true;
  other.send(get('/', 'a'));
  for (const response of [await exchange({ port: gateway.port }, get('/', 'a')), await other.response(1)]) {
    assert.deepEqual([response.status, fieldValue(response, 'retry-after')], [503, '1']);
  }
  assert.equal(backend.take().length, 0);
  pressure.isFull = pressure.isOut = false;
  // Not idle any more when idle connections are ended.
  one.send('GET / HTTP/1.1\r\n');
  await askTimes(gateway, 1);
  pressure.isTight = true;
  one.send('Host: a\r\n\r\n');
  const last = await one.response(1);
  assert.deepEqual([last.status, fieldValue(last, 'connection')], [200, 'close']);
  await waitUntil(() => pools.idleCount() === 0, 'what is kept for convenience to go');
});

test('an HTTP/2 connection takes as many requests as one may, and another follows', async () => {
  const backend = await H2Backend.start();
  await askTimes(await rig(backend, { protocol: 'h2c', keepAlive: { requests: 2 } }), 5);
  assert.equal(backend.sessions.length, 3);
  await waitUntil(() => backend.openSessions.length === 1, 'those that are used up to end');
});

for (const connections of [0, 2]) {
  test(`of HTTP/2 connections, which a burst has opened, ${connections} stay where as many are kept`, async () => {
    const held: H2Request[] = [];
    const backend = await H2Backend.start({ maxConcurrentStreams: 1, onEnd: (request) => held.push(request) });
    const gateway = await rig(backend, { protocol: 'h2c', keepAlive: { connections } });
    const answers = Array.from({ length: 6 }, () => exchange({ port: gateway.port }, get('/', 'a')));
    await waitUntil(() => held.length === 6, 'all six requests');
    assert.equal(backend.openSessions.length, 6);
    for (const { stream } of held) h2Answer(stream, 'ok');
    for (const { status } of await Promise.all(answers)) assert.equal(status, 200);
    await waitUntil(() => backend.openSessions.length === connections, 'the others to end');
    assert.equal(gateway.gateway.pools.idleCount(), connections);
  });
}

test('client connections: how many streams one of HTTP/2 may have is said by the listener, and holds', async () => {
  const backend = await Recorder.start({ onRequest: () => undefined });
  const { port } = await rig(backend, { clients: { streams: 2 } });
  const client = await H2Client.open({ port });
  client.greet();
  const lines = [':method: GET', ':scheme: http', ':path: /', ':authority: a'];
  client.send(...[1, 3, 5].map((streamId) => client.headers(streamId, lines)));
  await waitUntil(() => backend.requests.length === 2, 'two requests');
  assert.equal((await client.answered(5)).reset, errorCodes.refusedStream);
  const { payload = Buffer.alloc(0) } = client.frames.find(({ type }) => type === frameTypes.settings) ?? {};
  assert.deepEqual([payload.readUInt16BE(0), payload.readUInt32BE(2)], [settingIds.maxConcurrentStreams, 2]);
  client.destroy();
});

test('client connections: times and requests of the listener go before those of the worker', async () => {
  const backend = await Recorder.start();
  const few = await rig(backend, { clients: { requests: 1 } });
  const client = await RawClient.open({ port: few.port });
  client.send(get('/', 'a'));
  assert.match((await client.response()).head, /^connection: close/im);
  await client.closed();

  const short = { idleMs: 200, headMs: 300, bodyIdleMs: 300 };
  const hasty = await rig(await Recorder.start({ onRequest: () => undefined }), { clients: short });
  const idle = await RawClient.open({ port: hasty.port });
  await idle.closed();
  assert.equal(idle.receivedBytes, 0);
  const head = await RawClient.open({ port: hasty.port });
  head.send('GET / HTTP/1.1\r\n');
  assert.equal((await head.response()).status, 408);
  const body = await RawClient.open({ port: hasty.port });
  body.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx');
  assert.equal((await body.response()).status, 408);
});
