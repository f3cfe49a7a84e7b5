import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import type { Backend, Endpoints } from '#table/backend.ts';
import type { CircuitLimits } from '#table/resilience.ts';
import type { Route } from '#table/route.ts';
import { frameTypes } from '../../proxy/frame/codes.ts';
import type { BackendPicker } from '../../proxy/select/backend.ts';
import { Circuit } from '../../proxy/select/circuit.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Backend, h2Answer } from '../kit/h2backend.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { type Answer, answer, answerBytes, type RecordedRequest, Recorder } from '../kit/recorder.ts';
import { endpointsRow, plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

const closing = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';
const silent: Answer = () => {};

interface Wish {
  circuit: Partial<CircuitLimits>;
  backend?: Partial<Backend>;
  timeouts?: Partial<Route['timeouts']>;
  retry?: Partial<Route['retry']>;
}

async function rig(backends: readonly { port: number; stop(): Promise<void> }[], wish: Wish): Promise<TestGateway> {
  const rows = plainTable(backends.map(({ port }) => ({ address: '127.0.0.1', port }))).map((each) => {
    if (each.kind === 'backend') {
      const circuit = { ...each.row.circuit, ...wish.circuit };
      return row('backend', { ...each.row, ...wish.backend, circuit });
    }
    if (each.kind !== 'route') return each;
    const timeouts = { ...each.row.timeouts, ...wish.timeouts };
    return row('route', { ...each.row, timeouts, retry: { ...each.row.retry, ...wish.retry } });
  });
  const gateway = await testGateway(rows);
  opened.push(...backends, gateway);
  return gateway;
}

async function ask(gateway: TestGateway, path = '/'): Promise<RawClient> {
  const client = await RawClient.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.send(get(path, 'a'));
  return client;
}

function circuitOf(gateway: TestGateway): Circuit {
  return (gateway.live.backend('b') as NonNullable<ReturnType<TestGateway['live']['backend']>>).state.circuit;
}

test('requests: one over the limit is 503 at once, and told to come again; one less makes room', async () => {
  const backend = await Recorder.start({ onRequest: silent });
  const gateway = await rig([backend], { circuit: { requests: 2 } });
  const clients = [await ask(gateway), await ask(gateway)] as const;
  await backend.request(1);
  const refused = await (await ask(gateway)).response();
  assert.equal(refused.status, 503);
  assert.deepEqual(
    refused.fields.find(([name]) => name.toLowerCase() === 'retry-after'),
    ['Retry-After', '1'],
  );
  assert.deepEqual(
    [gateway.records[0]?.flag, gateway.records[0]?.overflow, gateway.records[0]?.tries],
    ['UO', 'requests', 0],
  );
  answer(await backend.request(0), 'done');
  await Promise.any(clients.map((client) => client.response()));
  backend.onRequest = (request) => answer(request, 'now');
  assert.equal((await (await ask(gateway)).response()).status, 200);
});

test('requests: what its client gave up counts until the backend answers it, or closes', async () => {
  const ends = [
    (request: RecordedRequest) => answer(request, 'late'),
    (request: RecordedRequest) => request.connection.socket.destroy(),
  ];
  for (const end of ends) {
    const backend = await Recorder.start({ onRequest: silent, endsWithPeer: false });
    const gateway = await rig([backend], { circuit: { requests: 1 } });
    const first = await ask(gateway);
    const request = await backend.request(0);
    first.socket.resetAndDestroy();
    await waitUntil(() => request.connection.isEnded, 'the backend to hear that nobody waits');
    await waitUntil(() => gateway.records.length === 1, 'the record of the request that was given up');
    assert.equal(gateway.records[0]?.flag, 'DC');
    assert.equal((await (await ask(gateway)).response()).status, 503);
    end(request);
    await waitUntil(() => circuitOf(gateway).requests === 0, 'the request to be over');
    assert.equal(backend.requests.length, 1);
  }
});

test('requests: streams that the client makes us reset free nothing at the backend (MadeYouReset)', async () => {
  const backend = await Recorder.start({ onRequest: silent, endsWithPeer: false });
  const gateway = await rig([backend], { circuit: { requests: 2 } });
  const client = await H2Client.open({ port: gateway.port });
  opened.push({ stop: async () => client.destroy() });
  client.greet();
  const fields = [':method: GET', ':scheme: http', ':path: /', ':authority: a'];
  for (const [at, streamId] of [1, 3].entries()) {
    client.send(client.headers(streamId, fields));
    await backend.request(at);
    // A window that grows by nothing is the stream's error, and ours to say (RFC 9113 §6.9).
    client.send(frame(frameTypes.windowUpdate, 0, streamId, Buffer.alloc(4)));
    assert.notEqual((await client.answered(streamId)).reset, null);
  }
  client.send(client.headers(5, fields));
  assert.deepEqual((await client.answered(5)).statuses, [503]);
  assert.equal(backend.requests.length, 2);
});

test('connections: a request over the limit waits for one, and gets it when another is answered', async () => {
  const backend = await Recorder.start({ onRequest: silent });
  const gateway = await rig([backend], { circuit: { connections: 1 } });
  const first = await ask(gateway);
  await backend.request(0);
  const second = await ask(gateway, '/second');
  await waitUntil(() => circuitOf(gateway).waiting.size === 1, 'the second to wait');
  answer(await backend.request(0), 'one');
  assert.equal((await first.response()).body.toString(), 'one');
  answer(await backend.request(1), 'two');
  assert.equal((await second.response()).body.toString(), 'two');
  assert.equal(backend.connections.length, 1);
  assert.equal(circuitOf(gateway).pending, 0);
});

test('connections: one that does not become free in time is 503 and UO; a client that goes waits no more', async () => {
  const backend = await Recorder.start({ onRequest: silent });
  const gateway = await rig([backend], { circuit: { connections: 1 }, timeouts: { connectMs: 600 } });
  await ask(gateway);
  await backend.request(0);
  const second = await ask(gateway);
  const third = await ask(gateway);
  await waitUntil(() => circuitOf(gateway).waiting.size === 2, 'both to wait');
  third.socket.resetAndDestroy();
  await waitUntil(() => circuitOf(gateway).waiting.size === 1, 'the one that went to leave the queue');
  assert.equal((await second.response()).status, 503);
  const record = gateway.records.find(({ flag }) => flag === 'UO');
  assert.deepEqual([record?.overflow, record?.status], ['connections', 503]);
  assert.equal(backend.requests.length, 1);
  assert.equal(circuitOf(gateway).pending, 0);
});

test('connections: a wait for one, in vain or given up, is no slowness of the endpoint', async () => {
  const backend = await Recorder.start({ onRequest: (request) => answer(request, 'warm') });
  const gateway = await rig([backend], { circuit: { connections: 1 }, timeouts: { connectMs: 600 } });
  await (await ask(gateway)).response();
  const picker = gateway.live.backend('b')?.state as BackendPicker;
  const latencies = () => picker.members.map(({ state }) => state.latencyMs);
  const before = latencies();
  backend.onRequest = silent;
  await ask(gateway);
  await backend.request(1);
  const [second, third] = [await ask(gateway), await ask(gateway)];
  await waitUntil(() => circuitOf(gateway).waiting.size === 2, 'both to wait');
  third.socket.resetAndDestroy();
  assert.equal((await second.response()).status, 503);
  await waitUntil(() => circuitOf(gateway).waiting.size === 0, 'both to be gone');
  assert.deepEqual(latencies(), before);
});

test('connections: who waits when the limit is raised, or lifted, waits no more', async () => {
  for (const connections of [4, 0]) {
    const backend = await Recorder.start({ onRequest: silent });
    const gateway = await rig([backend], { circuit: { connections: 1 }, timeouts: { connectMs: 0 } });
    await ask(gateway);
    const held = await backend.request(0);
    const late = [await ask(gateway, '/1'), await ask(gateway, '/2'), await ask(gateway, '/3')];
    await waitUntil(() => circuitOf(gateway).waiting.size === 3, 'three to wait');
    backend.onRequest = (request) => answer(request, 'now');
    const { row: now } = gateway.live.backend('b') as NonNullable<ReturnType<TestGateway['live']['backend']>>;
    gateway.apply([row('backend', { ...now, circuit: { ...now.circuit, connections } })]);
    for (const client of late) assert.equal((await client.response()).status, 200);
    answer(held, 'done');
    assert.equal(circuitOf(gateway).pending, 0);
  }
});

test('connections: a backend that was gone and comes back is counted anew, where another kept its endpoints', async () => {
  const h1 = await Recorder.start({ onRequest: (request) => answerBytes(request, closing) });
  const h2 = await H2Backend.start();
  h2.onEnd = ({ stream, session }) => {
    h2Answer(stream, 'ok');
    session.close();
  };
  for (const [backend, protocol] of [[h1, 'http'] as const, [h2, 'h2c'] as const]) {
    const gateway = await rig([backend], { circuit: { connections: 1 }, backend: { protocol } });
    const { row: it } = gateway.live.backend('b') as NonNullable<ReturnType<TestGateway['live']['backend']>>;
    const endpoints = endpointsRow([{ address: '127.0.0.1', port: backend.port }]).row as Endpoints;
    gateway.apply([
      row('backend', { ...it, id: 'other' }),
      row('endpoints', { ...endpoints, backendIds: ['b', 'other'] }),
    ]);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 3; i++) {
        assert.equal((await exchange({ port: gateway.port }, get('/', 'a'))).status, 200);
        await waitUntil(() => circuitOf(gateway).connections === 0, 'the connection to end');
      }
      gateway.live.apply({ upserts: [], deletes: [{ kind: 'backend', id: 'b' }] }, 'gone', 0);
      gateway.apply([row('backend', it)]);
    }
  }
});

test('pending: more than may wait are 503 at once', async () => {
  const backend = await Recorder.start({ onRequest: silent });
  const gateway = await rig([backend], { circuit: { connections: 1, pending: 1 } });
  await ask(gateway);
  await backend.request(0);
  await ask(gateway);
  await waitUntil(() => circuitOf(gateway).waiting.size === 1, 'the second to wait');
  assert.equal((await (await ask(gateway)).response()).status, 503);
  assert.deepEqual([gateway.records[0]?.flag, gateway.records[0]?.overflow], ['UO', 'pending']);
});

test('pending: a retry for which there is no room leaves the client the answer that the backend gave', async () => {
  const backends = [await Recorder.start({ onRequest: silent }), await Recorder.start({ onRequest: silent })];
  const retry = { on: [500], attempts: 2 };
  const gateway = await rig(backends, { circuit: { connections: 1, pending: 1 }, retry });
  const first = await ask(gateway);
  await waitUntil(() => backends.some(({ requests }) => requests.length === 1), 'the first to reach its backend');
  const second = await ask(gateway);
  await waitUntil(() => circuitOf(gateway).waiting.size === 1, 'the second to wait');
  for (const backend of backends) for (const request of backend.requests) answer(request, 'told why', 500);
  const { status, body } = await first.response();
  assert.deepEqual([status, body.toString()], [500, 'told why']);
  const [record] = gateway.records;
  assert.deepEqual([record?.retryRefusal, record?.overflow, record?.tries], ['limit', 'pending', 1]);
  await waitUntil(() => backends.flatMap(({ requests }) => requests).length === 2, 'the second to be sent');
  for (const backend of backends) for (const request of backend.requests) answer(request, 'ok');
  assert.equal((await second.response()).status, 200);
});

test('connections: an idle one to another endpoint gives way, and there are never more', async () => {
  const backends = [await Recorder.start(), await Recorder.start(), await Recorder.start()];
  const gateway = await rig(backends, { circuit: { connections: 2 } });
  let most = 0;
  for (const each of backends) {
    each.onConnection = () => {
      most = Math.max(most, circuitOf(gateway).connections);
    };
  }
  for (let i = 0; i < 12; i++) assert.equal((await exchange({ port: gateway.port }, get('/', 'a'))).status, 200);
  assert.ok(backends.every(({ requests }) => requests.length >= 2));
  assert.equal(most, 2);
});

test('connections: one that becomes free is for who waits for its endpoint; but who waits longest is not passed over for ever', () => {
  const circuit = new Circuit({ connections: 1, pending: 0, requests: 0, retries: 0 });
  const admitted: string[] = [];
  const wait = (endpointKey: string) => {
    const waiter = {
      endpointKey,
      admit() {
        circuit.waiting.delete(waiter);
        admitted.push(endpointKey);
      },
    };
    circuit.waiting.add(waiter);
  };
  wait('far');
  for (let i = 0; i < 20; i++) wait('near');
  for (let i = 0; i < 12; i++) circuit.roomCame('near');
  assert.deepEqual([admitted.indexOf('far') > 0, admitted.length], [true, 12]);
});

test('connections: the turn of many who wait costs each of them no more than that of a few', () => {
  const cpuPerWaiter = (count: number) => {
    const circuit = new Circuit({ connections: 1, pending: 0, requests: 0, retries: 0 });
    for (let i = 0; i < count; i++) {
      const waiter = { endpointKey: 'any', admit: () => void circuit.waiting.delete(waiter) };
      circuit.waiting.add(waiter);
    }
    const before = process.cpuUsage();
    circuit.roomGrew();
    assert.equal(circuit.waiting.size, 0);
    const { user, system } = process.cpuUsage(before);
    return (user + system) / count;
  };
  const least = (count: number) => Math.min(...[0, 1, 2, 3, 4].map(() => cpuPerWaiter(count)));
  // In CPU, compared with itself: a search through all who wait would make it twenty times as much.
  const ofFew = least(2_000);
  const ofMany = least(60_000);
  assert.ok(ofMany < ofFew * 10 + 2, `${ofMany} µs each of many, ${ofFew} µs each of few`);
});

test('retries: more than may be in flight are not made, and that is told', async () => {
  const bad = await Recorder.start({ onRequest: (request) => answer(request, 'bad', 503) });
  const slow = await Recorder.start({ onRequest: silent });
  const retry = { on: [503], attempts: 2 };
  const gateway = await rig([bad, slow], { circuit: { retries: 1 }, retry });
  // Round robin: of any two requests one goes to the bad one first, and its retry hangs at the slow one.
  for (let i = 0; i < 4; i++) await ask(gateway);
  await waitUntil(() => gateway.records.length >= 1, 'a request to fail for want of a retry');
  const [record] = gateway.records;
  assert.deepEqual([record?.status, record?.retryRefusal, record?.overflow], [503, 'limit', 'retries']);
  assert.equal(circuitOf(gateway).retries, 1);
});

test('connections: streams that find no room on the only HTTP/2 connection wait for one that ends', async () => {
  const backend = await H2Backend.start({ maxConcurrentStreams: 1, onEnd: () => undefined });
  const gateway = await rig([backend], { circuit: { connections: 1 }, backend: { protocol: 'h2c' } });
  // The first tells how many streams the backend takes.
  const warm = await ask(gateway);
  h2Answer((await backend.request(0)).stream, 'warm');
  await warm.response();
  const first = await ask(gateway);
  const held = await backend.request(1);
  const second = await ask(gateway);
  await waitUntil(() => circuitOf(gateway).waiting.size === 1, 'the second to wait');
  h2Answer(held.stream, 'one');
  assert.equal((await first.response()).body.toString(), 'one');
  h2Answer((await backend.request(2)).stream, 'two');
  assert.equal((await second.response()).body.toString(), 'two');
  assert.equal(backend.sessions.length, 1);
});

test('connections: who waits for a stream gets one on the next connection when the backend goes away', async () => {
  const backend = await H2Backend.start({ maxConcurrentStreams: 1, onEnd: () => undefined });
  const timeouts = { connectMs: 0 };
  const gateway = await rig([backend], { circuit: { connections: 1 }, backend: { protocol: 'h2c' }, timeouts });
  const warm = await ask(gateway);
  h2Answer((await backend.request(0)).stream, 'warm');
  await warm.response();
  const first = await ask(gateway);
  const held = await backend.request(1);
  const late = [await ask(gateway), await ask(gateway)];
  await waitUntil(() => circuitOf(gateway).waiting.size === 2, 'two to wait');
  backend.onEnd = ({ stream }) => h2Answer(stream, 'now');
  held.session.goaway(0, 2 ** 31 - 1);
  for (const client of late) assert.equal((await client.response()).body.toString(), 'now');
  h2Answer(held.stream, 'held');
  assert.equal((await first.response()).body.toString(), 'held');
});

test('connections: a backend that takes more streams than is thought before it says so is sent those that wait', async () => {
  const backend = await H2Backend.start({ maxConcurrentStreams: 200, onEnd: () => undefined });
  const timeouts = { connectMs: 0 };
  const gateway = await rig([backend], { circuit: { connections: 1 }, backend: { protocol: 'h2c' }, timeouts });
  const clients = [await H2Client.open({ port: gateway.port }), await H2Client.open({ port: gateway.port })];
  const streamIds = Array.from({ length: 60 }, (_, at) => 2 * at + 1);
  for (const client of clients) {
    opened.push({ stop: async () => client.destroy() });
    client.greet();
    const fields = [':method: GET', ':scheme: http', ':path: /', ':authority: a'];
    client.send(Buffer.concat(streamIds.map((streamId) => client.headers(streamId, fields))));
  }
  await backend.request(clients.length * streamIds.length - 1);
  assert.equal(backend.sessions.length, 1);
});

const behaviours = ['good', 'close', 'reset', 'slow', 'bad'] as const;

function behave(request: RecordedRequest): void {
  const { socket } = request.connection;
  const path = request.target.slice(1);
  if (path === 'close') socket.end('HTTP/1.1 200 OK\r\n\r\nuntil close');
  else if (path === 'reset') socket.resetAndDestroy();
  else if (path === 'slow') setTimeout(() => answer(request, 'late'), 5);
  else answer(request, 'ok', path === 'bad' ? 503 : 200);
}

test('whatever happens, in the end nothing is counted that is not there', async () => {
  const backends = [await Recorder.start({ onRequest: behave }), await Recorder.start({ onRequest: behave })];
  const gateway = await rig(backends, {
    circuit: { connections: 3, pending: 4, requests: 5, retries: 1 },
    timeouts: { connectMs: 500 },
    retry: { on: ['connect', 'reset', 'timeout', 503], attempts: 3 },
  });
  const client = fc.record({ path: fc.constantFrom(...behaviours), goes: fc.boolean() });
  const clients = fc.sample(client, { numRuns: 400, seed: 20261127 });
  const statuses = new Set<number>();
  for (let start = 0; start < clients.length; start += 20) {
    await Promise.all(
      clients.slice(start, start + 20).map(async ({ path, goes }) => {
        const each = await RawClient.open({ port: gateway.port });
        each.send(get(`/${path}`, 'a'));
        if (!goes) statuses.add((await each.response()).status);
        each.destroy();
      }),
    );
  }
  assert.ok(statuses.has(200) && statuses.has(503));
  const circuit = circuitOf(gateway);
  await waitUntil(
    () => circuit.requests === 0 && circuit.connections === gateway.gateway.counts().idleUpstream,
    'what is in flight to end',
  );
  assert.deepEqual([circuit.pending, circuit.retries, circuit.waiting.size], [0, 0, 0]);
  assert.ok(circuit.connections <= 3);
});
