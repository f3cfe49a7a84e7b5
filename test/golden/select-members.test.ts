import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TryResult } from '../../proxy/select/types.ts';
import type { Backend, Endpoint } from '../../proxy/table/backend.ts';
import { plainHealthCheck, plainOutlier } from '../kit/rows.ts';
import {
  backendRow,
  countPicks,
  endpointRow,
  endpointRows,
  endpointsRow,
  factsOf,
  openBackend,
  picked,
  uidOf,
} from './selecting.ts';

const roundRobin = { balance: { algorithm: 'round-robin' } } as const;
const leaving = { ready: false, serving: true, terminating: true };
const unready = { ready: false, serving: false, terminating: false };

function used(fields: Partial<Backend>, rows: Endpoint[], place: { zone?: string; node?: string } = {}): string[] {
  return [...countPicks(openBackend({ ...roundRobin, ...fields }, rows, place).backend, 200).keys()].sort();
}

describe('readiness (KEP-1672)', () => {
  test('ready ones while there is one', () => {
    assert.deepEqual(used({}, [endpointRow(0, unready), endpointRow(1), endpointRow(2, leaving)]), ['pod-1']);
  });
  test('else those that terminate and serve', () => {
    assert.deepEqual(used({}, [endpointRow(0, unready), endpointRow(1, leaving)]), ['pod-1']);
  });
  test('never others', () => {
    const dying = { ready: false, serving: false, terminating: true };
    assert.deepEqual(used({}, [endpointRow(0, unready), endpointRow(1, dying)]), ['none']);
    assert.deepEqual(used({}, [endpointRow(0, { ready: false, serving: true })]), ['none']);
  });
  test('one address in two slices counts once, as ready', () => {
    const rows = [endpointRow(0, leaving), endpointRow(0), endpointRow(1)];
    const counts = countPicks(openBackend(roundRobin, rows).backend, 100);
    assert.deepEqual([counts.get('pod-0'), counts.get('pod-1')], [50, 50]);
  });
});

describe('zones', () => {
  const rows = endpointRows(4, (nth) => ({ zone: nth < 2 ? 'a' : 'b', node: `node-${nth}` }));
  test('only when the row prefers it, and the place is known', () => {
    assert.equal(used({ prefer: 'any' }, rows, { zone: 'a' }).length, 4);
    assert.equal(used({ prefer: 'zone' }, rows).length, 4);
    assert.deepEqual(used({ prefer: 'zone' }, rows, { zone: 'a' }), ['pod-0', 'pod-1']);
  });
  test('all when the zone has none, or none that can be used', () => {
    assert.equal(used({ prefer: 'zone' }, rows, { zone: 'c' }).length, 4);
    const rowsOut = rows.map((row) => (row.zone === 'a' ? { ...row, ...unready } : row));
    assert.deepEqual(used({ prefer: 'zone' }, rowsOut, { zone: 'a' }), ['pod-2', 'pod-3']);
  });
  test('the node first, then the zone, then all (KEP-3015)', () => {
    assert.deepEqual(used({ prefer: 'node' }, rows, { zone: 'a', node: 'node-3' }), ['pod-3']);
    assert.deepEqual(used({ prefer: 'node' }, rows, { zone: 'a', node: 'node-9' }), ['pod-0', 'pod-1']);
    assert.equal(used({ prefer: 'node' }, rows, { zone: 'z', node: 'node-9' }).length, 4);
  });
  test('hints decide when every endpoint has one (KEP-2433)', () => {
    const hinted = rows.map((row, nth) => ({ ...row, forZones: [nth === 3 ? 'a' : 'b'] }));
    assert.deepEqual(used({ prefer: 'zone' }, hinted, { zone: 'a' }), ['pod-3']);
    const half = hinted.map((row, nth) => (nth === 0 ? { ...row, forZones: [] } : row));
    assert.equal(used({ prefer: 'zone' }, half, { zone: 'a' }).length, 4);
  });
  test('a retry leaves the zone when all of it was tried', () => {
    const { backend } = openBackend({ ...roundRobin, prefer: 'zone' }, rows, { zone: 'a' });
    const one = picked(backend);
    const two = picked(backend, [one.endpoint]);
    const three = picked(backend, [one.endpoint, two.endpoint]);
    assert.deepEqual([uidOf(one), uidOf(two)].sort(), ['pod-0', 'pod-1']);
    assert.ok(['pod-2', 'pod-3'].includes(uidOf(three) ?? ''));
  });
});

describe('ejection', () => {
  const outlier = {
    ...plainOutlier,
    consecutiveGatewayErrors: 3,
    baseEjectionMs: 1000,
    maxEjectionMs: 2500,
    maxEjectedPercent: 50,
  };
  const fail = { result: 'gateway-error', latencyMs: 1 } as const;
  const open = (count: number, fields: Partial<Backend> = {}) => {
    const opened = openBackend({ ...roundRobin, outlier, ...fields }, endpointRows(count));
    const states = new Map(
      Array.from({ length: count }, () => picked(opened.backend)).map((pick) => [uidOf(pick), pick.endpoint]),
    );
    const report = (nth: number, outcome: { result: TryResult }, nowMs: number) =>
      states.get(`pod-${nth}`)?.finished({ startedMs: 0, latencyMs: 1, ...outcome, nowMs });
    const usedAt = (nowMs: number) => [...countPicks(opened.backend, 100, undefined, nowMs).keys()].sort();
    return { ...opened, report, usedAt };
  };

  test('after so many failures in a row, not after as many with a success between', () => {
    const { report, usedAt } = open(3);
    report(0, fail, 0);
    report(0, fail, 0);
    report(0, { result: 'success' }, 0);
    report(0, fail, 0);
    report(0, fail, 0);
    assert.equal(usedAt(0).length, 3);
    report(0, fail, 0);
    assert.deepEqual(usedAt(0), ['pod-1', 'pod-2']);
    assert.deepEqual(usedAt(999), ['pod-1', 'pod-2']);
    assert.equal(usedAt(1000).length, 3);
  });

  test('comes back on probation: one failure ejects again, longer each time up to the maximum', () => {
    const { report, usedAt } = open(3);
    for (let nth = 0; nth < 3; nth++) report(0, fail, 0);
    report(0, fail, 1000);
    assert.equal(usedAt(2999).length, 2);
    assert.equal(usedAt(3000).length, 3);
    report(0, fail, 3000);
    assert.equal(usedAt(5499).length, 2);
    assert.equal(usedAt(5500).length, 3);
    report(0, { result: 'success' }, 5500);
    report(0, fail, 5501);
    assert.equal(usedAt(5501).length, 3);
  });

  test('an answer to a request from before the ejection does not end the probation', () => {
    const { report, usedAt } = open(3);
    for (let nth = 0; nth < 3; nth++) report(0, fail, 0);
    report(0, { result: 'success' }, 500);
    report(0, fail, 1000);
    assert.equal(usedAt(1000).length, 2);
  });

  test('whoever is not there is asked again after two seconds, however often it was ejected', () => {
    const { report, usedAt } = open(3, { outlier: { ...outlier, baseEjectionMs: 10_000, maxEjectionMs: 60_000 } });
    for (let nth = 0; nth < 3; nth++) report(0, { result: 'unreachable' }, 0);
    for (let nowMs = 0; nowMs < 60_000; nowMs += 2000) {
      assert.deepEqual(usedAt(nowMs + 1999), ['pod-1', 'pod-2']);
      assert.equal(usedAt(nowMs + 2000).length, 3);
      report(0, { result: 'unreachable' }, nowMs + 2000);
    }
    report(0, { result: 'local-failure' }, 62_000);
    assert.equal(usedAt(70_000).length, 2, 'one that does not answer is not one that is not there');
    assert.equal(usedAt(72_000).length, 3, 'a restart is no reason to leave it out for the longest time');
  });

  test('time spent inside forgives', () => {
    const { report, usedAt } = open(3);
    for (let nth = 0; nth < 3; nth++) report(0, fail, 0);
    for (let nth = 0; nth < 3; nth++) report(0, fail, 60_000);
    assert.equal(usedAt(60_999).length, 2);
    assert.equal(usedAt(61_000).length, 3);
  });

  test('one that succeeds less often than the others is out for longer each time, though it takes an interval to see', () => {
    const successRate = { intervalMs: 1000, minRequests: 20, minEndpoints: 3, deviations: 1.5 };
    const { report, usedAt } = open(5, {
      outlier: { ...outlier, consecutiveGatewayErrors: 0, maxEjectionMs: 60_000, successRate },
    });
    const isOut: boolean[] = [];
    for (let nowMs = 0; nowMs <= 9000; nowMs += 1000) {
      const out = usedAt(nowMs).length === 4;
      isOut.push(out);
      for (let nth = out ? 1 : 0; nth < 5; nth++) {
        for (let times = 0; times < 20; times++) report(nth, nth === 0 ? fail : { result: 'success' }, nowMs);
      }
    }
    const told = isOut.map((out) => (out ? '-' : '+')).join('');
    assert.equal(told, '+-+--+---+');
  });

  test('an interval that is made shorter ends by its new length', () => {
    const successRate = { intervalMs: 3_600_000, minRequests: 20, minEndpoints: 3, deviations: 1.5 };
    const often = { ...outlier, consecutiveGatewayErrors: 0, successRate: { ...successRate, intervalMs: 1000 } };
    const { setBackend, report, usedAt } = open(5, { outlier: { ...often, successRate } });
    assert.equal(usedAt(0).length, 5);
    setBackend({ ...roundRobin, outlier: often });
    for (let nth = 0; nth < 5; nth++) {
      for (let times = 0; times < 20; times++) report(nth, nth === 0 ? fail : { result: 'success' }, 1);
    }
    assert.equal(usedAt(1000).length, 4);
  });

  test('of one that is used for want of others nobody is told that it is left out', () => {
    const { report, selector } = open(2);
    const leftOut = () => selector.look('web', 1).flatMap(({ key, leftOutMs }) => (leftOutMs > 0 ? key : []));
    for (let times = 0; times < 3; times++) report(0, fail, 0);
    assert.deepEqual(leftOut(), ['10.0.0.0:80']);
    for (let times = 0; times < 3; times++) report(1, fail, 1);
    assert.deepEqual(leftOut(), ['10.0.0.1:80']);
    const alone = open(1);
    for (let times = 0; times < 3; times++) alone.report(0, fail, 0);
    assert.equal(alone.selector.look('web', 1)[0]?.leftOutMs, 0);
  });

  test('at most the given share is out, one always may be, and none with zero', () => {
    const four = open(4);
    for (let nth = 0; nth < 3; nth++) for (let times = 0; times < 3; times++) four.report(nth, fail, nth);
    assert.deepEqual(four.usedAt(10), ['pod-0', 'pod-3'], 'the one that would be back first is used');
    const three = open(3, { outlier: { ...outlier, maxEjectedPercent: 10 } });
    for (let times = 0; times < 3; times++) three.report(1, fail, 0);
    assert.deepEqual(three.usedAt(0), ['pod-0', 'pod-2']);
    const never = open(3, { outlier: { ...outlier, maxEjectedPercent: 0 } });
    for (let times = 0; times < 9; times++) never.report(1, fail, 0);
    assert.equal(never.usedAt(0).length, 3);
  });

  test('when all are out, all are used', () => {
    const { report, usedAt } = open(2, { outlier: { ...outlier, maxEjectedPercent: 100 } });
    for (const nth of [0, 1]) for (let times = 0; times < 3; times++) report(nth, fail, 0);
    assert.deepEqual(usedAt(0), ['pod-0', 'pod-1']);
    const single = open(1);
    for (let times = 0; times < 3; times++) single.report(0, fail, 0);
    assert.deepEqual(single.usedAt(0), ['pod-0']);
  });

  test('what one backend learns, every backend of the endpoint knows, also after table changes', () => {
    const opened = openBackend({ ...roundRobin, outlier }, endpointRows(3));
    const other = backendRow({ ...roundRobin, id: 'face', outlier: { ...outlier, consecutiveGatewayErrors: 100 } });
    opened.selector.apply(
      {
        backends: new Map([['face', other]]),
        endpoints: new Map([['web', endpointsRow(endpointRows(3), ['web', 'face'])]]),
        affinityKey: null,
      },
      0,
    );
    const pick = opened.backend.pick(factsOf(), [], 0);
    for (let times = 0; times < 3; times++) pick?.endpoint.finished({ ...fail, startedMs: 0, nowMs: 0 });
    const face = opened.selector.backend('face');
    assert.ok(face);
    assert.ok(!countPicks(face, 100).has(uidOf(pick) ?? ''));
    opened.selector.apply(
      {
        backends: new Map(),
        endpoints: new Map([['web', endpointsRow(endpointRows(4), ['web', 'face'])]]),
        affinityKey: null,
      },
      0,
    );
    assert.ok(!countPicks(face, 100).has(uidOf(pick) ?? ''));
  });

  test('another pod at the same address starts with a clean slate', () => {
    const { report, setEndpoints, usedAt } = open(3);
    for (let times = 0; times < 3; times++) report(0, fail, 0);
    setEndpoints([endpointRow(0, { uid: 'successor' }), endpointRow(1), endpointRow(2)]);
    assert.deepEqual(usedAt(1), ['pod-1', 'pod-2', 'successor']);
  });

  test('rows that disagree on whose the address is forget nothing at their changes, nor when one of them goes', () => {
    const { report, selector } = open(3);
    const leftOut = () => selector.look('web', 1).filter(({ leftOutMs }) => leftOutMs > 0).length;
    const byHand = (rows: Endpoint[] | null) => {
      const endpoints = new Map([['hand', rows && { ...endpointsRow(rows, ['web']), id: 'hand' }]]);
      selector.apply({ backends: new Map(), endpoints, affinityKey: null }, 0);
    };
    const byPods = (count: number) => {
      const endpoints = new Map([['web', endpointsRow(endpointRows(count))]]);
      selector.apply({ backends: new Map(), endpoints, affinityKey: null }, 0);
    };
    byHand([endpointRow(0, { uid: '' })]);
    for (let times = 0; times < 3; times++) report(0, fail, 0);
    assert.equal(leftOut(), 1);
    byPods(4);
    assert.equal(leftOut(), 1);
    byHand([endpointRow(0, { uid: '' }), endpointRow(9, { uid: '' })]);
    assert.equal(leftOut(), 1);
    byHand(null);
    assert.equal(leftOut(), 1);
    byPods(3);
    assert.equal(leftOut(), 1);
    byHand([endpointRow(0, { uid: 'successor' })]);
    assert.equal(leftOut(), 0);
  });
});

describe('probed health', () => {
  const healthCheck = plainHealthCheck;
  test('unhealthy ones are left out until they recover, leave, or the check goes', () => {
    const opened = openBackend({ ...roundRobin, healthCheck }, endpointRows(3));
    const usedNow = () => [...countPicks(opened.backend, 90).keys()].sort();
    opened.selector.setHealth('10.0.0.1:80', 'web', false, 0);
    assert.deepEqual(usedNow(), ['pod-0', 'pod-2']);
    opened.setEndpoints(endpointRows(4));
    assert.deepEqual(usedNow(), ['pod-0', 'pod-2', 'pod-3']);
    opened.selector.setHealth('10.0.0.1:80', 'web', true, 0);
    assert.equal(usedNow().length, 4);
    opened.selector.setHealth('10.0.0.1:80', 'web', false, 0);
    opened.setBackend(roundRobin);
    assert.equal(usedNow().length, 4);
    opened.setBackend({ ...roundRobin, healthCheck });
    opened.selector.setHealth('10.0.0.3:80', 'web', false, 0);
    opened.setEndpoints(endpointRows(3));
    opened.setEndpoints(endpointRows(4));
    assert.equal(usedNow().length, 4);
  });
  test('whoever is probed no more is not ill: another pod at the address, and one that is neither ready nor serving', () => {
    const opened = openBackend({ ...roundRobin, healthCheck }, endpointRows(2));
    const usedNow = () => [...countPicks(opened.backend, 90).keys()].sort();
    const ill = () => opened.selector.setHealth('10.0.0.1:80', 'web', false, 0);
    ill();
    opened.setBackend({ ...roundRobin, healthCheck: { ...healthCheck, healthyAfter: 9 } });
    assert.deepEqual(usedNow(), ['pod-0']);
    opened.setEndpoints([endpointRow(0), endpointRow(1, { uid: 'successor' })]);
    assert.deepEqual(usedNow(), ['pod-0', 'successor']);
    opened.setEndpoints(endpointRows(2));
    assert.equal(usedNow().length, 2);
    ill();
    opened.setEndpoints([endpointRow(0), endpointRow(1, { ready: false })]);
    assert.deepEqual(usedNow(), ['pod-0']);
    opened.setEndpoints([endpointRow(0), endpointRow(1, { ready: false, serving: false })]);
    opened.setEndpoints(endpointRows(2));
    assert.equal(usedNow().length, 2);
  });
  test('a good probe ends an ejection', () => {
    const outlier = { ...plainOutlier, consecutiveGatewayErrors: 1, baseEjectionMs: 60_000, maxEjectionMs: 60_000 };
    const opened = openBackend({ ...roundRobin, healthCheck, outlier }, endpointRows(3));
    const { endpoint } = picked(opened.backend);
    endpoint.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
    assert.equal(countPicks(opened.backend, 90, undefined, 1).size, 2);
    opened.selector.setHealth(endpoint.key, 'web', true, 2);
    assert.equal(countPicks(opened.backend, 90, undefined, 2).size, 3);
  });
  test('without a check no result counts', () => {
    const opened = openBackend(roundRobin, endpointRows(2));
    opened.selector.setHealth('10.0.0.1:80', 'web', false, 0);
    assert.equal(countPicks(opened.backend, 50).size, 2);
  });
  test('an unhealthy endpoint stays out though the limit of ejections would let it back', () => {
    const outlier = {
      ...plainOutlier,
      consecutiveGatewayErrors: 1,
      baseEjectionMs: 1000,
      maxEjectionMs: 1000,
      maxEjectedPercent: 10,
    };
    const opened = openBackend({ ...roundRobin, healthCheck, outlier }, endpointRows(3));
    const states = [0, 1, 2].map(() => picked(opened.backend).endpoint);
    opened.selector.setHealth('10.0.0.0:80', 'web', false, 0);
    for (const state of states) {
      if (state.endpoint.uid === 'pod-2') continue;
      state.finished({
        startedMs: 0,
        result: 'gateway-error',
        latencyMs: 1,
        nowMs: state.endpoint.uid === 'pod-0' ? 0 : 1,
      });
    }
    assert.deepEqual([...countPicks(opened.backend, 90, undefined, 2).keys()], ['pod-2']);
  });
  test('whoever passes its probes is used when nobody is left, though it is ejected; who fails them is not', () => {
    const outlier = { ...plainOutlier, consecutiveGatewayErrors: 1, maxEjectedPercent: 50 };
    const opened = openBackend({ ...roundRobin, healthCheck, outlier }, endpointRows(2));
    opened.selector.setHealth('10.0.0.0:80', 'web', false, 0);
    const { endpoint } = picked(opened.backend);
    endpoint.finished({ startedMs: 0, result: 'gateway-error', latencyMs: 1, nowMs: 0 });
    const usedNow = () => [...countPicks(opened.backend, 50, undefined, 1).keys()].sort();
    assert.deepEqual(usedNow(), ['pod-1']);
    opened.setBackend({ ...roundRobin, healthCheck, outlier, panicPercent: 1 });
    assert.deepEqual(usedNow(), ['pod-0', 'pod-1']);
  });
  test('when none is healthy, all are used; unknown ids are ignored', () => {
    const opened = openBackend({ ...roundRobin, healthCheck }, endpointRows(2));
    for (const key of ['10.0.0.0:80', '10.0.0.1:80', '10.9.9.9:80']) opened.selector.setHealth(key, 'web', false, 0);
    opened.selector.setHealth('10.0.0.0:80', 'nowhere', false, 0);
    assert.equal(countPicks(opened.backend, 50).size, 2);
  });
});

test('endpoints that no row names any more are told once, and not while another backend has them', () => {
  const opened = openBackend({}, endpointRows(2));
  const second = { ...endpointsRow([endpointRow(1)], []), id: 'second' };
  opened.selector.apply({ backends: new Map(), endpoints: new Map([['second', second]]), affinityKey: null }, 0);
  assert.deepEqual(opened.setEndpoints([]), ['10.0.0.0:80']);
  const gone = opened.selector.apply(
    { backends: new Map([['web', null]]), endpoints: new Map([['second', null]]), affinityKey: null },
    0,
  );
  assert.deepEqual(gone.goneKeys, ['10.0.0.1:80']);
  assert.equal(opened.selector.backend('web'), undefined);
});

test('IPv6 endpoints have brackets in their key', () => {
  const { backend } = openBackend({}, [endpointRow(0, { address: 'fd00::1', port: 8080 })]);
  assert.equal(backend.pick(factsOf(), [], 0)?.endpoint.key, '[fd00::1]:8080');
});

test('requests in flight are counted per endpoint, over all backends, and never below zero', () => {
  const { backend, setEndpoints } = openBackend({}, [endpointRow(0)]);
  const endpoint = picked(backend).endpoint;
  endpoint.started();
  endpoint.started();
  setEndpoints([endpointRow(0, { weight: 2 })]);
  assert.equal(picked(backend).endpoint.inFlight, 2);
  for (let times = 0; times < 3; times++)
    endpoint.finished({ startedMs: 0, result: 'success', latencyMs: 1, nowMs: 0 });
  assert.equal(endpoint.inFlight, 0);
});
