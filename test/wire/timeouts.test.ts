import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, test } from 'node:test';

import type { Route } from '#table/route.ts';
import { TryClock } from '../../proxy/forward/tryclock.ts';
import { Limits } from '../../proxy/listen/limits.ts';
import { withoutZeroes } from '../../proxy/listen/withoutzeroes.ts';
import type { ResponseFlag } from '../../proxy/observe/record.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { type Answer, answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<unknown> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const shortMs = 300;
/** Where something has to happen before: a loaded machine takes its time. */
const longMs = 1_500;

interface Scene {
  gateway: TestGateway;
  client: RawClient;
}

async function scene(
  onRequest: Answer | { port: number },
  timeouts: Partial<Route['timeouts']>,
  limits: Partial<Limits> = {},
  protocol: 'http' | 'https' | 'h2c' = 'http',
): Promise<Scene> {
  const backend = typeof onRequest === 'function' ? await Recorder.start({ onRequest }) : null;
  const port = typeof onRequest === 'function' ? (backend?.port ?? 0) : onRequest.port;
  const rows = plainTable([{ address: '127.0.0.1', port }]).map((each) => {
    if (each.kind === 'backend') return row('backend', { ...each.row, protocol });
    if (each.kind !== 'route') return each;
    const retry = { ...each.row.retry, on: [] };
    return row('route', { ...each.row, retry, timeouts: { ...each.row.timeouts, ...timeouts } });
  });
  const gateway = await testGateway(rows, limits);
  const client = await RawClient.open({ port: gateway.port });
  if (backend !== null) opened.push(backend);
  opened.push(gateway, { stop: async () => client.destroy() });
  return { gateway, client };
}

/** The gateway answers with the status and writes the flag down. */
async function assertEnds({ gateway, client }: Scene, status: number, flag: ResponseFlag): Promise<void> {
  assert.equal((await client.response()).status, status);
  await waitUntil(() => gateway.records.length > 0, 'the record');
  assert.deepEqual([gateway.records[0]?.status, gateway.records[0]?.flag], [status, flag]);
}

/** The answer has begun and is cut off. */
async function assertCutOff({ gateway, client }: Scene, flag: ResponseFlag): Promise<void> {
  await client.closed();
  const response = await client.response();
  assert.equal(response.isComplete, false);
  await waitUntil(() => gateway.records.length > 0, 'the record');
  assert.deepEqual([gateway.records[0]?.status, gateway.records[0]?.flag], [200, flag]);
}

/** Takes connections and reads nothing. */
async function deafServer(): Promise<number> {
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined);
    opened.push({ stop: async () => socket.destroy() });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  opened.push({ stop: async () => server.close() });
  return (server.address() as AddressInfo).port;
}

const silent: Answer = () => undefined;
const halfAnswer: Answer = (request) => answerBytes(request, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
const long = 32 << 20;

test('connect: a backend whose handshake never ends is 504 and UCT', async () => {
  const at = await scene({ port: await deafServer() }, { connectMs: shortMs }, {}, 'https');
  at.client.send(get('/', 'a'));
  await assertEnds(at, 504, 'UCT');
});

test('send: a backend that does not take the request is 504 and UST', async () => {
  const at = await scene({ port: await deafServer() }, { sendMs: shortMs, readMs: 0 });
  at.client.send(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${long}\r\n\r\n`);
  at.client.send(Buffer.alloc(long));
  await assertEnds(at, 504, 'UST');
});

test('read: a backend that is silent is 504 and UT; in the middle of its answer it is cut off', async () => {
  const before = await scene(silent, { readMs: shortMs });
  before.client.send(get('/', 'a'));
  await assertEnds(before, 504, 'UT');
  const inside = await scene(halfAnswer, { readMs: longMs });
  inside.client.send(get('/', 'a'));
  await assertCutOff(inside, 'UT');
});

test('read: an interim answer is a sign of life, from which the pause is counted', async () => {
  let lastMs = 0;
  const alive = (write: () => void, isOver: () => boolean) => {
    let left = 3;
    const timer = setInterval(() => {
      if (left-- === 0 || isOver()) {
        clearInterval(timer);
        return;
      }
      lastMs = performance.now();
      write();
    }, shortMs);
  };
  const h1: Answer = (request) => {
    const { socket } = request.connection;
    alive(
      () => socket.write('HTTP/1.1 102 Processing\r\n\r\n'),
      () => socket.destroyed,
    );
  };
  const h2 = await H2Backend.start({
    onEnd: ({ stream }) =>
      alive(
        () => stream.additionalHeaders({ ':status': 102 }),
        () => stream.destroyed,
      ),
  });
  opened.push(h2);
  for (const backend of [h1, h2]) {
    const at = await scene(backend, { readMs: longMs }, {}, backend === h1 ? 'http' : 'h2c');
    at.client.send(get('/', 'a'));
    await assertEnds(at, 504, 'UT');
    assert.ok(performance.now() - lastMs >= longMs, `${performance.now() - lastMs} ms`);
  }
});

test('read: that a client takes nothing of the answer is no silence of the backend', async () => {
  const bytes = 16 << 20;
  const large: Answer = (request) => {
    if (request.target === '/large') answer(request, 'x'.repeat(bytes));
  };
  // A machine that is busy for the shorter time makes the backend silent indeed.
  const { gateway, client } = await scene(large, { readMs: longMs });
  client.socket.pause();
  client.send(get('/large', 'a'));
  // Each of them is silent for as long as may be, and that is after what fits into the kernel has been written.
  for (let i = 0; i < 2; i++) {
    const other = await RawClient.open({ port: gateway.port });
    opened.push({ stop: async () => other.destroy() });
    other.send(get('/silent', 'a'));
    assert.equal((await other.response()).status, 504);
  }
  assert.equal(gateway.live.backend('b')?.state.circuit.requests, 1, 'it is still answered');
  const seen = client.received.length;
  client.socket.resume();
  await waitUntil(() => client.received.length > seen, 'the client to take more');
});

test('per try: no head in time is 504 and UTT; once it is there, the clock is off', async () => {
  const before = await scene(silent, { tryMs: shortMs });
  before.client.send(get('/', 'a'));
  await assertEnds(before, 504, 'UTT');
  const inside = await scene(halfAnswer, { tryMs: longMs, readMs: longMs * 1.5 });
  inside.client.send(get('/', 'a'));
  await assertCutOff(inside, 'UT');
});

test('per try: a slow upload is the client’s time, and not that of the try', async () => {
  const at = await scene(silent, { tryMs: shortMs }, { bodyIdleMs: shortMs * 3 });
  at.client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
  await assertEnds(at, 408, 'DBT');
});

test('per try: nor is it after 100 Continue, over HTTP/2 either', async () => {
  const backend = await H2Backend.start({ onRequest: ({ stream }) => stream.additionalHeaders({ ':status': 100 }) });
  opened.push(backend);
  const limits = { bodyIdleMs: shortMs * 3 };
  const at = await scene(backend, { tryMs: shortMs, readMs: shortMs }, limits, 'h2c');
  at.client.send('POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n');
  await backend.request(0);
  at.client.send('half');
  await assertEnds(at, 408, 'DBT');
});

test('request: one that takes too long as a whole is 504 and DT; in the middle of the answer it is cut off', async () => {
  const before = await scene(silent, { requestMs: shortMs });
  before.client.send(get('/', 'a'));
  await assertEnds(before, 504, 'DT');
  const inside = await scene(halfAnswer, { requestMs: longMs });
  inside.client.send(get('/', 'a'));
  await assertCutOff(inside, 'DT');
  const upload = await scene(silent, { requestMs: shortMs });
  upload.client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
  await assertEnds(upload, 504, 'DT');
});

test('WebSocket: a silent one ends as SI, by a time of its own', async () => {
  const accept: Answer = (request) =>
    answerBytes(request, 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  const at = await scene(accept, { tunnelMs: shortMs, requestMs: shortMs * 100, readMs: 0 });
  at.client.send(
    get('/', 'a', [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ]),
  );
  await at.client.closed();
  await waitUntil(() => at.gateway.records.length > 0, 'the record');
  assert.deepEqual([at.gateway.records[0]?.status, at.gateway.records[0]?.flag], [101, 'SI']);
});

test('client: a head that stays away is 408 and DHT, a body 408 and DBT', async () => {
  const head = await scene(silent, {}, { headMs: shortMs });
  head.client.send('GET / HTTP/1.1\r\nHo');
  await assertEnds(head, 408, 'DHT');
  const body = await scene(silent, {}, { bodyIdleMs: shortMs });
  body.client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf');
  await assertEnds(body, 408, 'DBT');
});

test('client: one that does not take its answer is let go as DWT', async () => {
  const endless: Answer = (request) => {
    request.connection.socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${long}\r\n\r\n`);
    request.connection.socket.write(Buffer.alloc(long));
  };
  const at = await scene(endless, {}, { writeIdleMs: shortMs });
  at.client.socket.pause();
  at.client.send(get('/', 'a'));
  await waitUntil(() => at.gateway.records.length > 0, 'the record');
  assert.deepEqual([at.gateway.records[0]?.status, at.gateway.records[0]?.flag], [200, 'DWT']);
});

test('0 is no limit: no wait of a try or of a worker ends', () => {
  const none = { connectMs: 0, sendMs: 0, readMs: 0, tryMs: 0, requestMs: 0, tunnelMs: 0 };
  const clock = new TryClock();
  const never = Number.POSITIVE_INFINITY;
  clock.begin(none, true, 1);
  assert.equal(clock.connectDue(1, 0), never);
  assert.equal(clock.next(true, 1), never);
  clock.isSending = true;
  assert.equal(clock.next(false, 1), never);
  clock.isSending = false;
  clock.beginTunnel(none);
  assert.equal(clock.next(true, 1), never);
  const waits = { idleMs: 0, headMs: 0, bodyIdleMs: 0, writeIdleMs: 0, upstreamIdleMs: 0, upstreamLifetimeMs: 0 };
  const endless = withoutZeroes(Limits.parse(waits));
  for (const key of Object.keys(waits) as (keyof typeof waits)[]) assert.equal(endless[key], never, key);
});
