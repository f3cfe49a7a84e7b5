import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { after, test } from 'node:test';
import type { Route } from '#table/route.ts';
import { frameFlags, frameTypes } from '../../proxy/frame/codes.ts';
import type { Limits } from '../../proxy/listen/limits.ts';
import { type TestGateway, testGateway } from '../kit/gateway.ts';
import { H2Client } from '../kit/h2client.ts';
import { frame } from '../kit/h2pair.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { type Answer, answer, answerBytes, Recorder } from '../kit/recorder.ts';
import { plainTable, row } from '../kit/rows.ts';
import { waitUntil } from '../kit/wait.ts';

const opened: { stop(): Promise<void> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

async function backend(onRequest: Answer): Promise<Recorder> {
  const recorder = await Recorder.start({ onRequest });
  opened.push(recorder);
  return recorder;
}

const good: Answer = (request) => answer(request, 'good');
const silent: Answer = () => {};
const closing: Answer = (request) => request.connection.socket.destroy();
const garbage: Answer = (request) => answerBytes(request, 'SSH-2.0-OpenSSH\r\n\r\n');
const unavailable: Answer = (request) => answer(request, 'bad', 503);

const usual: Route['retry'] = { attempts: 3, on: ['connect', 'reset', 'timeout'], canRepeatUnsafe: false, withinMs: 0 };

interface Wish {
  retry?: Partial<Route['retry']>;
  timeouts?: Partial<Route['timeouts']>;
  limits?: Partial<Limits>;
  protocol?: 'http' | 'https';
}

async function rig(backends: readonly { port: number }[], wish: Wish = {}): Promise<TestGateway> {
  const rows = plainTable(backends.map(({ port }) => ({ address: '127.0.0.1', port }))).map((each) => {
    if (each.kind === 'backend') return row('backend', { ...each.row, protocol: wish.protocol ?? 'http' });
    if (each.kind !== 'route') return each;
    const { timeouts } = each.row;
    return {
      ...each,
      row: { ...each.row, retry: { ...usual, ...wish.retry }, timeouts: { ...timeouts, ...wish.timeouts } },
    };
  });
  const gateway = await testGateway(rows, wish.limits);
  opened.push(gateway);
  return gateway;
}

/** Asks until the bad backend was met, so that it does not matter who is first. */
async function askUntilMet(gateway: TestGateway, bad: Recorder, request: string): Promise<number[]> {
  const statuses: number[] = [];
  for (let i = 0; i < 10 && bad.requests.length === 0; i++) {
    const { status } = await exchange({ port: gateway.port }, request, request.split(' ', 1)[0]);
    statuses.push(status);
  }
  assert.equal(bad.requests.length, 1);
  return statuses;
}

const post = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody';

/** How a backend fails, what a route calls it, and what becomes of a GET that is not tried again. */
const causes: readonly [string, Answer, Partial<Route['retry']>, number, Partial<Route['timeouts']>][] = [
  ['reset', closing, { on: ['reset'] }, 502, {}],
  ['malformed', garbage, { on: ['malformed'] }, 502, {}],
  ['timeout of a try', silent, { on: ['timeout'] }, 504, { tryMs: 1_000 }],
  ['timeout of a read', silent, { on: ['timeout'] }, 504, { readMs: 1_000 }],
  ['status', unavailable, { on: [503] }, 503, {}],
];

for (const [name, onRequest, retry, status, timeouts] of causes) {
  test(`${name}: a GET goes to another endpoint when the route says so, and only then`, async () => {
    const [bad, fine] = [await backend(onRequest), await backend(good)];
    const gateway = await rig([bad, fine], { retry, timeouts });
    assert.deepEqual(new Set(await askUntilMet(gateway, bad, get('/', 'a', ['Connection: close']))), new Set([200]));
    bad.take();
    const without = await rig([bad, fine], { retry: { on: [] }, timeouts });
    assert.equal((await askUntilMet(without, bad, get('/', 'a', ['Connection: close']))).at(-1), status);
    assert.equal(without.records.at(-1)?.retryRefusal, '');
  });

  test(`${name}: a POST is not repeated, and that is told; with canRepeatUnsafe it is`, async () => {
    const [bad, fine] = [await backend(onRequest), await backend(good)];
    const careful = await rig([bad, fine], { retry, timeouts });
    assert.equal((await askUntilMet(careful, bad, post)).at(-1), status);
    assert.equal(careful.records.at(-1)?.retryRefusal, 'unsafe');
    bad.take();
    const bold = await rig([bad, fine], { retry: { ...retry, canRepeatUnsafe: true }, timeouts });
    assert.deepEqual(new Set(await askUntilMet(bold, bad, post)), new Set([200]));
    assert.ok(fine.requests.every(({ body, method }) => method !== 'POST' || body.toString() === 'body'));
  });
}

test('a POST that found no connection is sent to another endpoint', async () => {
  const [gone, fine] = [await backend(good), await backend(good)];
  const gateway = await rig([gone, fine]);
  await gone.stop();
  for (let i = 0; i < 4; i++) assert.equal((await exchange({ port: gateway.port }, post, 'POST')).status, 200);
  assert.ok(gateway.records.some(({ tries }) => tries === 2));
});

test('a POST whose try is over before there is a connection is tried again', async () => {
  const deaf = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => undefined);
    opened.push({ stop: async () => void socket.destroy() });
  });
  deaf.listen(0, '127.0.0.1');
  await once(deaf, 'listening');
  opened.push({ stop: async () => void deaf.close() });
  const gateway = await rig([deaf.address() as AddressInfo], { timeouts: { tryMs: 100 }, protocol: 'https' });
  assert.equal((await exchange({ port: gateway.port }, post, 'POST')).status, 504);
  const { flag, tries, retryRefusal } = gateway.records[0] ?? {};
  assert.deepEqual([flag, tries, retryRefusal], ['UTT', 3, 'tries']);
});

test('each try goes to another endpoint while there is one, and to the same when it is the only one', async () => {
  const backends = [await backend(unavailable), await backend(unavailable), await backend(unavailable)];
  const gateway = await rig(backends, { retry: { on: [503] } });
  assert.equal((await exchange({ port: gateway.port }, get('/', 'a'))).status, 503);
  assert.deepEqual(
    backends.map(({ requests }) => requests.length),
    [1, 1, 1],
  );
  assert.deepEqual([gateway.records[0]?.tries, gateway.records[0]?.retryRefusal], [3, 'tries']);
  const [only] = backends as [Recorder];
  const alone = await rig([only], { retry: { on: [503] } });
  assert.equal((await exchange({ port: alone.port }, get('/', 'a'))).status, 503);
  assert.equal(only.requests.length, 1 + 3);
});

test('no try begins after the time for retries', async () => {
  const backends = [await backend(silent), await backend(silent)];
  const timeouts = { tryMs: 200 };
  const gateway = await rig(backends, { timeouts, retry: { withinMs: 1 } });
  const late = await exchange({ port: gateway.port }, get('/', 'a'));
  assert.equal(late.status, 504);
  assert.deepEqual([gateway.records[0]?.tries, gateway.records[0]?.retryRefusal], [1, 'time']);
  assert.equal(gateway.records[0]?.flag, 'UTT');
});

test('a body that is too long to be kept is not sent again', async () => {
  const [bad, fine] = [await backend(closing), await backend(good)];
  const gateway = await rig([bad, fine], { limits: { replayBytes: 100 } });
  const put = `PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n${'x'.repeat(200_000)}`;
  assert.equal((await askUntilMet(gateway, bad, put)).at(-1), 502);
  assert.equal(gateway.records.at(-1)?.retryRefusal, 'body');
});

test('a body that came in thousands of pieces is not kept, short as it is', async () => {
  const bad = await backend(unavailable);
  const gateway = await rig([bad], { retry: { on: [503], canRepeatUnsafe: true } });
  const client = await H2Client.open({ port: gateway.port });
  client.greet();
  const put = client.headers(1, [':method: PUT', ':scheme: http', ':path: /', ':authority: a'], false);
  const drip = frame(frameTypes.data, 0, 1, Buffer.of(1));
  client.send(put, ...Array.from({ length: 3_000 }, () => drip));
  // The connection is there and the pieces have gone to it: what comes now is a piece by itself again.
  const upload = await bad.request();
  await waitUntil(() => upload.bodyBytes === 3_000, 'the pieces to be there');
  client.send(
    ...Array.from({ length: 3_000 }, () => drip),
    frame(frameTypes.data, frameFlags.endStream, 1, Buffer.of(1)),
  );
  assert.deepEqual((await client.answered(1)).statuses, [503]);
  assert.deepEqual([gateway.records[0]?.tries, gateway.records[0]?.retryRefusal], [1, 'body']);
  client.destroy();
});

test('when everything fails, the backends get a fifth more than the requests, and ten a second', async () => {
  const backends = [await backend(unavailable), await backend(closing), await backend(garbage)];
  const requests = 600;
  const retry: Partial<Route['retry']> = { attempts: 16, on: [503, 'reset', 'malformed'], canRepeatUnsafe: true };
  const gateway = await rig(backends, { retry });
  const startMs = performance.now();
  for (let done = 0; done < requests; done += 20) {
    const statuses = await Promise.all(
      Array.from({ length: 20 }, () => exchange({ port: gateway.port }, get('/', 'a', ['Connection: close']))),
    );
    assert.ok(statuses.every(({ status }) => status >= 502));
  }
  const windows = Math.floor((performance.now() - startMs) / 10_000) + 1;
  const tries = backends.reduce((sum, { requests: { length } }) => sum + length, 0);
  assert.ok(tries >= requests * 1.1 + 100, `${tries} tries of ${requests} requests: too few were tried again`);
  assert.ok(tries <= requests * 1.2 + 100 * (windows + 1), `${tries} tries of ${requests} requests`);
});
