import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndpointState } from '../../proxy/select/types.ts';
import type { Backend } from '../../proxy/table/backend.ts';
import { plainOutlier } from '../kit/rows.ts';
import { countPicks, endpointRow, endpointRows, factsOf, openBackend, picked, seeded, uidOf } from './selecting.ts';

type Balance = Backend['balance'];

const balances: Record<string, Balance> = {
  'round-robin': { algorithm: 'round-robin' },
  'least-request': { algorithm: 'least-request' },
  ewma: { algorithm: 'ewma' },
  'ring-hash': { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 0 },
  'ring-hash, subset': { algorithm: 'ring-hash', parts: [{ type: 'target' }], subsetSize: 3 },
  'ring-hash without a key': { algorithm: 'ring-hash', parts: [{ type: 'header', name: 'x' }], subsetSize: 0 },
};
const manyTargets = (nth: number) => factsOf({ target: `/item/${nth}` });

for (const [name, balance] of Object.entries(balances)) {
  describe(name, () => {
    test('uses every endpoint, about evenly', () => {
      for (const count of [1, 2, 3, 10, 50]) {
        const { backend } = openBackend({ balance }, endpointRows(count));
        const counts = countPicks(backend, count * 1000, manyTargets);
        assert.equal(counts.size, count);
        for (const [uid, got] of counts) assert.ok(got > 600 && got < 1450, `${uid} of ${count}: ${got} of 1000`);
      }
    });

    test('gives shares by weight', () => {
      const { backend } = openBackend({ balance }, [endpointRow(0), endpointRow(1, { weight: 3 })]);
      const heavy = (countPicks(backend, 20_000, manyTargets).get('pod-1') ?? 0) / 20_000;
      // A subset of both endpoints is both of them, chosen at random.
      const [low, high] = name === 'ring-hash, subset' ? [0.48, 0.52] : [0.68, 0.82];
      assert.ok(heavy > low && heavy < high, `${heavy}`);
    });

    test('does not choose a tried endpoint again while there is another', () => {
      const { backend } = openBackend({ balance }, endpointRows(4));
      for (let nth = 0; nth < 200; nth++) {
        const tried: EndpointState[] = [];
        const size = name === 'ring-hash, subset' ? 3 : 4;
        for (let attempt = 0; attempt < size; attempt++) {
          const pick = backend.pick(manyTargets(nth), tried, 0);
          assert.ok(pick !== null && !tried.includes(pick.endpoint));
          tried.push(pick.endpoint);
        }
        assert.notEqual(backend.pick(manyTargets(nth), tried, 0), null);
      }
    });

    test('has no answer without endpoints', () => {
      const opened = openBackend({ balance }, []);
      assert.equal(opened.backend.pick(factsOf(), [], 0), null);
      opened.setEndpoints([endpointRow(5)]);
      assert.equal(uidOf(opened.backend.pick(factsOf(), [], 0)), 'pod-5');
      opened.setEndpoints([]);
      assert.equal(opened.backend.pick(factsOf(), [], 0), null);
    });

    test('sets no cookie, and a pick of an endpoint is always the same object', () => {
      const { backend } = openBackend({ balance }, endpointRows(1));
      const pick = backend.pick(factsOf(), [], 0);
      assert.equal(pick?.setCookie, null);
      assert.equal(backend.pick(factsOf(), [], 0), pick);
    });

    test('follows table changes', () => {
      const opened = openBackend({ balance }, endpointRows(3));
      assert.deepEqual(opened.setEndpoints([endpointRow(2), endpointRow(3)]), ['10.0.0.0:80', '10.0.0.1:80']);
      assert.deepEqual([...countPicks(opened.backend, 500, manyTargets).keys()].sort(), ['pod-2', 'pod-3']);
    });
  });
}

test('round robin: exact shares in every whole turn, from a place that depends on chance', () => {
  const starts = new Set<string | undefined>();
  for (let seed = 1; seed <= 20; seed++) {
    const { backend } = openBackend({ balance: { algorithm: 'round-robin' } }, endpointRows(5), { seed });
    starts.add(uidOf(backend.pick(factsOf(), [], 0)));
    for (const count of countPicks(backend, 500).values()) assert.equal(count, 100);
  }
  assert.ok(starts.size > 2, `${starts.size} different starts`);
});

test('weighted round robin: exact and interleaved', () => {
  const weights = [5, 1, 1, 13];
  const rows = endpointRows(4, (nth) => ({ weight: weights[nth] as number }));
  const { backend } = openBackend({ balance: { algorithm: 'round-robin' } }, rows);
  const turns = Array.from({ length: 2000 }, () => uidOf(backend.pick(factsOf(), [], 0)));
  for (let start = 0; start + 20 <= turns.length; start += 20) {
    const turn = turns.slice(start, start + 20);
    weights.forEach((weight, nth) => {
      const got = turn.filter((uid) => uid === `pod-${nth}`).length;
      assert.ok(Math.abs(got - weight) <= 1, `pod-${nth} ${got} of ${weight} in a turn`);
    });
  }
  weights.forEach((weight, nth) => {
    const got = turns.filter((uid) => uid === `pod-${nth}`).length;
    assert.ok(Math.abs(got - weight * 100) <= 1, `pod-${nth}: ${got}`);
  });
  const runs = turns.join(' ').matchAll(/(?:pod-3 ?)+/g);
  const longestRun = Math.max(...Array.from(runs, ([run]) => run.trim().split(' ').length));
  assert.ok(longestRun <= 4, `pod-3 ${longestRun} times in a row`);
});

test('least request: busy endpoints are left alone, and load is nearly even without herding', () => {
  const { backend } = openBackend({ balance: { algorithm: 'least-request' } }, endpointRows(100));
  const load = new Map<EndpointState, number>();
  for (let nth = 0; nth < 1000; nth++) {
    const pick = backend.pick(factsOf(), [], 0);
    assert.ok(pick);
    pick.endpoint.started();
    load.set(pick.endpoint, pick.endpoint.inFlight);
  }
  const most = Math.max(...load.values());
  // 1000 on 100: random choice alone ends near 20; two choices keep it near 12.
  assert.ok(most <= 14, `${most} in flight on one endpoint, mean 10`);
});

test('least request: twice the weight carries twice the requests in flight', () => {
  const rows = [endpointRow(0), endpointRow(1, { weight: 2 }), endpointRow(2), endpointRow(3, { weight: 2 })];
  const { backend } = openBackend({ balance: { algorithm: 'least-request' } }, rows);
  const states = new Map<string, EndpointState>();
  for (let nth = 0; nth < 600; nth++) {
    const pick = backend.pick(factsOf(), [], 0);
    assert.ok(pick);
    pick.endpoint.started();
    states.set(pick.endpoint.endpoint.uid, pick.endpoint);
  }
  for (const [uid, state] of states) {
    const wanted = state.endpoint.weight * 100;
    assert.ok(Math.abs(state.inFlight - wanted) <= 10, `${uid} ${state.inFlight} of ${wanted}`);
  }
});

interface Simulated {
  byUid: Map<string, number>;
  p99Ms: number;
}

/** An open queue of requests against endpoints that answer after a fixed time each; deterministic. */
function simulate(balance: Balance, latencyMs: (nth: number) => number, count = 20_000): Simulated {
  const { backend } = openBackend({ balance }, endpointRows(10), { seed: 3 });
  const random = seeded(9);
  const latencies: number[] = [];
  const byUid = new Map<string, number>();
  const ends: { atMs: number; end: () => void }[] = [];
  let nowMs = 1_000_000;
  for (let nth = 0; nth < count; nth++) {
    nowMs += random() * 2;
    for (let at = ends.length - 1; at >= 0; at--) {
      if ((ends[at]?.atMs ?? 0) <= nowMs) ends.splice(at, 1)[0]?.end();
    }
    const pick = backend.pick(manyTargets(nth), [], nowMs);
    assert.ok(pick);
    const { endpoint } = pick;
    const uid = endpoint.endpoint.uid;
    endpoint.started();
    const tookMs = latencyMs(Number(uid.slice(4))) * (0.8 + 0.4 * random());
    const atMs = nowMs + tookMs;
    ends.push({
      atMs,
      end: () => endpoint.finished({ startedMs: 0, result: 'success', latencyMs: tookMs, nowMs: atMs }),
    });
    latencies.push(tookMs);
    byUid.set(uid, (byUid.get(uid) ?? 0) + 1);
  }
  latencies.sort((a, b) => a - b);
  return { byUid, p99Ms: latencies[Math.floor(count * 0.99)] as number };
}

test('peak EWMA: an endpoint ten times slower than the others is all but avoided', () => {
  const slow = (nth: number) => (nth === 0 ? 200 : 20);
  const ewma = simulate({ algorithm: 'ewma' }, slow);
  const turns = simulate({ algorithm: 'round-robin' }, slow);
  const share = (ewma.byUid.get('pod-0') ?? 0) / 20_000;
  assert.ok(share < 0.01, `the slow one gets ${share}`);
  assert.ok(ewma.p99Ms < 40, `p99 ${ewma.p99Ms} ms`);
  assert.ok(turns.p99Ms > 150, `round robin p99 ${turns.p99Ms} ms`);
  assert.ok((ewma.byUid.get('pod-0') ?? 0) > 0, 'it is still tried now and then');
});

test('round robin: a retry takes no turn, so that a failing endpoint does not have every first try', () => {
  const { backend } = openBackend({ balance: { algorithm: 'round-robin' } }, endpointRows(2));
  const firsts = Array.from({ length: 10 }, () => {
    const first = picked(backend);
    if (uidOf(first) === 'pod-0') assert.equal(uidOf(picked(backend, [first.endpoint])), 'pod-1');
    return uidOf(first);
  });
  assert.equal(firsts.filter((uid) => uid === 'pod-0').length, 5);
});

test('peak EWMA: a failing endpoint is not taken for a fast one', () => {
  const outlier = {
    ...plainOutlier,
    consecutiveGatewayErrors: 1000,
    baseEjectionMs: 1,
    maxEjectionMs: 1,
    maxEjectedPercent: 0,
  };
  const { backend } = openBackend({ balance: { algorithm: 'ewma' }, outlier }, endpointRows(3));
  let failures = 0;
  for (let nowMs = 0; nowMs < 3000; nowMs++) {
    const pick = backend.pick(factsOf(), [], nowMs);
    assert.ok(pick);
    pick.endpoint.started();
    const failed = uidOf(pick) === 'pod-1';
    if (failed) failures++;
    pick.endpoint.finished({
      startedMs: 0,
      result: failed ? 'local-failure' : 'success',
      latencyMs: failed ? 0.1 : 20,
      nowMs,
    });
  }
  assert.ok(failures < 30, `${failures} of 3000 requests went to the failing endpoint`);
});

describe('peak EWMA, one answer at a time', () => {
  const open = () => {
    const { backend } = openBackend({ balance: { algorithm: 'ewma' } }, endpointRows(2));
    const states = new Map<string, EndpointState>();
    while (states.size < 2) {
      const { endpoint } = picked(backend);
      if (!states.has(endpoint.endpoint.uid)) endpoint.started();
      states.set(endpoint.endpoint.uid, endpoint);
    }
    const answer = (uid: string, latencyMs: number, nowMs: number) =>
      states.get(uid)?.finished({ startedMs: 0, result: 'success', latencyMs, nowMs });
    return { backend, states, answer };
  };

  test('until its first answer an endpoint has one request, while another has answered', () => {
    const { backend, answer } = open();
    answer('pod-0', 20, 0);
    assert.deepEqual([...countPicks(backend, 50).keys()], ['pod-0']);
    answer('pod-1', 10, 0);
    assert.equal(countPicks(backend, 50).get('pod-0') ?? 0, 0);
  });

  test('an upload that its client gave up is no answer, and its endpoint still has one request', () => {
    const { backend, states, answer } = open();
    answer('pod-0', 20, 0);
    states.get('pod-1')?.finished({ startedMs: 0, result: 'abandoned', latencyMs: 0, nowMs: 0 });
    assert.equal(uidOf(backend.pick(factsOf(), [], 0)), 'pod-1');
    states.get('pod-1')?.started();
    assert.deepEqual([...countPicks(backend, 50).keys()], ['pod-0']);
  });

  test('one slow answer counts in full at once, and fades', () => {
    const { backend, answer } = open();
    for (let nowMs = 0; nowMs < 20; nowMs++)
      for (const uid of ['pod-0', 'pod-1']) answer(uid, uid === 'pod-0' ? 10 : 20, nowMs);
    answer('pod-0', 500, 20);
    assert.deepEqual([...countPicks(backend, 50, undefined, 21).keys()], ['pod-1']);
    for (let nowMs = 1000; nowMs < 60_000; nowMs += 1000) answer('pod-1', 20, nowMs);
    assert.ok((countPicks(backend, 50, undefined, 60_000).get('pod-0') ?? 0) > 0, 'it has another chance');
  });

  test('of two equally fast endpoints the one with fewer requests in flight', () => {
    const { backend, states, answer } = open();
    for (const uid of ['pod-0', 'pod-1']) answer(uid, 20, 0);
    states.get('pod-0')?.started();
    assert.deepEqual([...countPicks(backend, 50).keys()], ['pod-1']);
  });
});
