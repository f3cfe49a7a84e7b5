import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EjectionWord, LiveEndpoint } from '../../proxy/select/endpoint.ts';
import type { Backend } from '../../proxy/table/backend.ts';
import { plainHealthCheck, plainOutlier } from '../kit/rows.ts';
import { cookieAffinity, endpointRows, factsOf, type Opened, openBackend, picked, seeded, uidOf } from './selecting.ts';

/** Whoever fails once is out for a minute, and of two one may be. */
const outlier = {
  ...plainOutlier,
  consecutiveGatewayErrors: 1,
  baseEjectionMs: 60_000,
  maxEjectionMs: 60_000,
  maxEjectedPercent: 50,
};
const movable = { ...cookieAffinity, changeOnFailure: true } as const;

const ways: Record<string, Partial<Backend>> = {
  'round robin': { balance: { algorithm: 'round-robin' } },
  'least request': { balance: { algorithm: 'least-request' } },
  ewma: { balance: { algorithm: 'ewma' } },
  hash: { balance: { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 0 } },
  'hash of a subset': { balance: { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 2 } },
  'client address': { affinity: { type: 'client-ip', timeoutSeconds: 60 } },
  'persistent cookie': { affinity: movable },
  'balanced cookie': { affinity: { ...movable, mode: 'balanced' } },
};

/** Two endpoints, of which the first has failed at 0 and is out. */
function openHalf(fields: Partial<Backend>) {
  const opened = openBackend({ ...fields, outlier: { ...outlier, ...fields.outlier } }, endpointRows(2));
  const out = picked(opened.backend).endpoint;
  out.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
  const other = picked(opened.backend).endpoint;
  assert.notEqual(other, out);
  return { ...opened, out, other, retried: () => picked(opened.backend, [other]) };
}

function leftOut({ selector }: Pick<Opened, 'selector'>, nowMs: number): number {
  return selector.look('web', nowMs).filter(({ leftOutMs }) => leftOutMs > 0).length;
}

for (const [name, fields] of Object.entries(ways)) {
  test(`${name}: a retry goes to one that is left out rather than to those again that have failed`, () => {
    const { out, retried } = openHalf(fields);
    assert.equal(uidOf(retried()), out.endpoint.uid);
  });
}

test('a new balanced session is found again where the retry went', () => {
  const opened = openHalf(ways['balanced cookie'] as Partial<Backend>);
  const cookie = opened.retried().setCookie?.split(';')[0] ?? '';
  opened.out.finished({ startedMs: 1, result: 'success', latencyMs: 1, nowMs: 2 });
  const again = opened.backend.pick(factsOf({ headers: { cookie } }), [], 2);
  assert.equal(uidOf(again), opened.out.endpoint.uid);
});

test('a success ends the first ejection; each one more that is held against the endpoint takes four times as many in a row, up to 64', () => {
  const longer = { ...outlier, maxEjectionMs: 600_000 };
  const opened = openBackend({ ...ways['round robin'], outlier: longer }, endpointRows(1));
  const { endpoint } = picked(opened.backend);
  let nowMs = 0;
  const ended = (result: 'success' | 'gateway-error') => {
    nowMs++;
    endpoint.finished({ startedMs: nowMs, result, latencyMs: 1, nowMs });
    return (endpoint as LiveEndpoint).look(nowMs).leftOutMs;
  };
  const succeeded = (times: number) => Array.from({ length: times }, () => ended('success')).indexOf(0);
  assert.equal(ended('gateway-error'), 60_000);
  assert.equal(succeeded(1), 0);
  assert.equal(ended('gateway-error'), 120_000);
  assert.equal(succeeded(3), -1);
  ended('gateway-error');
  assert.equal(succeeded(4), 3);
  assert.equal(ended('gateway-error'), 180_000);
  assert.equal(succeeded(16), 15);
  for (const minutes of [4, 5]) {
    assert.equal(ended('gateway-error'), minutes * 60_000);
    assert.equal(succeeded(64), 63);
  }
  // Forgiven by time spent inside.
  nowMs += 60_000 * 5;
  assert.equal(ended('gateway-error'), 60_000);
});

test('where all fail half of the time, and so all are used, none goes out and in again for every few requests', () => {
  const words: unknown[] = [];
  const lasting = { ...outlier, consecutiveGatewayErrors: 5, baseEjectionMs: 10_000 };
  const options = { onEject: (word: unknown) => words.push(word) };
  const { backend } = openBackend({ ...ways['round robin'], outlier: lasting }, endpointRows(3), options);
  const random = seeded(2);
  // A minute, with 250 requests in each second.
  for (let nowMs = 4; nowMs <= 60_000; nowMs += 4) {
    const result = random() < 0.5 ? 'gateway-error' : 'success';
    backend.pick(factsOf(), [], nowMs)?.endpoint.finished({
      startedMs: nowMs,
      result,
      latencyMs: 1,
      nowMs: nowMs + 1,
    });
  }
  assert.ok(words.length < 30, `${words.length} ejections`);
});

describe('whether who is ejected is left out is said as it is', () => {
  const words: EjectionWord[] = [];
  const options = { onEject: (word: EjectionWord) => words.push(word) };
  const told = () => words.splice(0).map(({ key, isLeftOut }) => [key, isLeftOut]);
  /** Each of the first so many fails, one after the other. */
  const failAll = (fields: Partial<Backend>, failing: number) => {
    const opened = openBackend({ ...ways['round robin'], outlier, ...fields }, endpointRows(4), options);
    const states = [0, 1, 2, 3].map(() => picked(opened.backend).endpoint as LiveEndpoint);
    states.sort((a, b) => (a.key < b.key ? -1 : 1));
    for (const state of states.slice(0, failing)) {
      state.started();
      state.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
    }
    return opened;
  };

  test('where no more may be out', () => {
    const opened = failAll({ outlier: { ...outlier, maxEjectedPercent: 25 } }, 2);
    // The second one is out in the place of the first, whose time is over sooner.
    assert.deepEqual(told(), [
      ['10.0.0.0:80', true],
      ['10.0.0.1:80', true],
    ]);
    assert.equal(leftOut(opened, 1), 1);
  });

  test('where too few would be left, and where nobody would', () => {
    const opened = failAll({ panicPercent: 75, outlier: { ...outlier, maxEjectedPercent: 100 } }, 2);
    assert.deepEqual(told(), [
      ['10.0.0.0:80', true],
      ['10.0.0.1:80', false],
    ]);
    assert.equal(leftOut(opened, 1), 0);
    failAll({ outlier: { ...outlier, maxEjectedPercent: 100 } }, 4);
    assert.deepEqual(
      told().map(([, isLeftOut]) => isLeftOut),
      [true, true, true, false],
    );
  });

  test('where several stand out in one interval, more than may be out', () => {
    const successRate = { intervalMs: 1000, minRequests: 5, minEndpoints: 3, deviations: 0 };
    const limited = { ...plainOutlier, successRate, baseEjectionMs: 60_000, maxEjectedPercent: 25 };
    const opened = openBackend({ ...ways['round robin'], outlier: limited }, endpointRows(4), options);
    for (let nth = 0; nth < 40; nth++) {
      const { endpoint } = picked(opened.backend);
      const result = ['pod-0', 'pod-1'].includes(endpoint.endpoint.uid) ? 'server-error' : 'success';
      endpoint.finished({ startedMs: 0, result, latencyMs: 1, nowMs: 0 });
    }
    opened.backend.pick(factsOf(), [], 1000);
    const out = opened.selector.look('web', 1001).filter(({ leftOutMs }) => leftOutMs > 0);
    assert.deepEqual(
      told().filter(([, isLeftOut]) => isLeftOut),
      out.map(({ key }) => [key, true]),
    );
    assert.equal(out.length, 1);
  });
});

describe('of those who are left out', () => {
  test('nobody is asked while one who is in was not', () => {
    const opened = openBackend({ ...ways['round robin'], outlier }, endpointRows(3));
    const out = picked(opened.backend).endpoint;
    out.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
    const second = picked(opened.backend).endpoint;
    const third = picked(opened.backend, [second]).endpoint;
    assert.ok(third !== out && third !== second);
    assert.equal(picked(opened.backend, [second, third]).endpoint, out);
  });

  test('none whose probes fail', () => {
    const { selector, out, other, retried } = openHalf({ ...ways['round robin'], healthCheck: plainHealthCheck });
    selector.setHealth(out.key, 'web', false, 1);
    assert.equal(retried().endpoint, other);
  });

  test('one is back when a request succeeds that was sent to it since, and not by those from before', () => {
    const half = openHalf({});
    half.out.finished({ startedMs: 0, result: 'success', latencyMs: 1, nowMs: 5 });
    assert.equal(leftOut(half, 5), 1);
    half.out.finished({ startedMs: 5, result: 'server-error', latencyMs: 1, nowMs: 6 });
    assert.equal(leftOut(half, 6), 1);
    half.out.finished({ startedMs: 6, result: 'success', latencyMs: 1, nowMs: 7 });
    assert.equal(leftOut(half, 7), 0);
  });

  test('one that is so for its rate stays so: one answer is no rate', () => {
    const successRate = { intervalMs: 1000, minRequests: 10, minEndpoints: 3, deviations: 1 };
    const opened = openBackend(
      { ...ways['round robin'], outlier: { ...outlier, consecutiveGatewayErrors: 0, successRate } },
      endpointRows(5),
    );
    const endpoints = endpointRows(5).map(() => picked(opened.backend).endpoint);
    for (const [nth, endpoint] of endpoints.entries()) {
      const result = nth === 0 ? 'gateway-error' : 'success';
      for (let times = 0; times < 10; times++) endpoint.finished({ startedMs: 1, result, latencyMs: 1, nowMs: 500 });
    }
    opened.backend.pick(factsOf(), [], 1000);
    assert.equal(leftOut(opened, 1000), 1);
    endpoints[0]?.finished({ startedMs: 1001, result: 'success', latencyMs: 1, nowMs: 1002 });
    assert.equal(leftOut(opened, 1002), 1);
  });
});
