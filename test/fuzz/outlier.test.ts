import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EjectionWord } from '../../proxy/select/endpoint.ts';
import { ejectableCount } from '../../proxy/select/outlier.ts';
import { lowestNormalRate } from '../../proxy/select/successrate.ts';
import type { EndpointState, TryResult } from '../../proxy/select/types.ts';
import type { Outlier } from '../../proxy/table/resilience.ts';
import { countPicks, endpointRows, openBackend, picked, uidOf } from '../golden/selecting.ts';
import { plainHealthCheck } from '../kit/rows.ts';

const results = ['success', 'server-error', 'gateway-error', 'local-failure', 'unreachable', 'abandoned'] as const;

const outlierArbitrary: fc.Arbitrary<Outlier> = fc.record({
  consecutiveServerErrors: fc.nat(4),
  consecutiveGatewayErrors: fc.nat(4),
  consecutiveLocalFailures: fc.nat(4),
  successRate: fc.constant(null),
  baseEjectionMs: fc.integer({ min: 1, max: 1000 }),
  maxEjectionMs: fc.integer({ min: 1, max: 5000 }),
  maxEjectedPercent: fc.integer({ min: 0, max: 100 }),
});

const stepsArbitrary = fc.array(
  fc.record({ nth: fc.nat(4), result: fc.constantFrom<TryResult>(...results), waitMs: fc.nat(1500) }),
  { maxLength: 200 },
);

/** Five endpoints, and what was said of them. */
function open(outlier: Outlier) {
  const words: EjectionWord[] = [];
  const opened = openBackend({ balance: { algorithm: 'round-robin' }, outlier }, endpointRows(5), {
    onEject: (word) => words.push(word),
  });
  const states: EndpointState[] = [];
  for (let nth = 0; nth < 5; nth++) {
    const { endpoint } = picked(opened.backend);
    states[Number(endpoint.endpoint.uid.slice(4))] = endpoint;
  }
  return { ...opened, words, states };
}

/** The rules once more, in the plainest words: how often in a row each kind of failure may happen. */
function limitReached(history: readonly TryResult[], outlier: Outlier): boolean {
  const inARow = (counts: readonly TryResult[]) =>
    history.length - 1 - history.findLastIndex((result) => !counts.includes(result));
  const rows: [number, readonly TryResult[]][] = [
    [outlier.consecutiveServerErrors, ['server-error', 'gateway-error', 'local-failure', 'unreachable']],
    [outlier.consecutiveGatewayErrors, ['gateway-error', 'local-failure', 'unreachable']],
    [outlier.consecutiveLocalFailures, ['local-failure', 'unreachable']],
  ];
  return rows.some(([limit, kinds]) => limit > 0 && inARow(kinds) >= limit);
}

test('an endpoint is ejected exactly when a row of failures reaches its limit, each time for longer, never over the maximum', () => {
  fc.assert(
    fc.property(outlierArbitrary, stepsArbitrary, (outlier, steps) => {
      const { states, words } = open(outlier);
      const histories: TryResult[][] = [[], [], [], [], []];
      const outUntil = [0, 0, 0, 0, 0];
      const counts = [0, 0, 0, 0, 0];
      let nowMs = 0;
      for (const { nth, result, waitMs } of steps) {
        nowMs += waitMs;
        const until = outUntil[nth] as number;
        const told = words.length;
        states[nth]?.finished({ startedMs: 0, result, latencyMs: 1, nowMs });
        const history = histories[nth] as TryResult[];
        if (nowMs >= until && result !== 'abandoned') history.push(result);
        const isFailure = result !== 'success' && result !== 'abandoned';
        const isDue = isFailure && nowMs >= until && outlier.maxEjectedPercent > 0 && limitReached(history, outlier);
        assert.equal(words.length - told, isDue ? 1 : 0);
        if (!isDue) continue;
        const forgiven = until === 0 ? 0 : Math.floor((nowMs - until) / outlier.baseEjectionMs);
        const held = Math.max(0, (counts[nth] as number) - forgiven);
        const count = result === 'unreachable' ? held : held + 1;
        const longestMs = result === 'unreachable' ? 2000 : Number.POSITIVE_INFINITY;
        const forMs = Math.min(Math.max(1, count) * outlier.baseEjectionMs, outlier.maxEjectionMs, longestMs);
        assert.equal(words.at(-1)?.forMs, forMs);
        counts[nth] = count;
        outUntil[nth] = nowMs + forMs;
      }
    }),
  );
});

test('a row of failures ends with a success, of its kind with what is of another', () => {
  const none = { consecutiveServerErrors: 0, consecutiveGatewayErrors: 0, consecutiveLocalFailures: 0 };
  const rows: [Partial<Outlier>, TryResult, TryResult][] = [
    [{ consecutiveServerErrors: 2 }, 'server-error', 'success'],
    [{ consecutiveGatewayErrors: 2 }, 'gateway-error', 'success'],
    [{ consecutiveGatewayErrors: 2 }, 'gateway-error', 'server-error'],
    [{ consecutiveLocalFailures: 2 }, 'local-failure', 'success'],
    [{ consecutiveLocalFailures: 2 }, 'local-failure', 'gateway-error'],
  ];
  for (const [limits, failure, other] of rows) {
    const times = { successRate: null, baseEjectionMs: 1_000, maxEjectionMs: 1_000, maxEjectedPercent: 100 };
    const { states, words } = open({ ...none, ...limits, ...times });
    const ended = (result: TryResult) => states[0]?.finished({ startedMs: 0, result, latencyMs: 1, nowMs: 0 });
    for (const result of [failure, other, failure, other, failure]) ended(result);
    assert.equal(words.length, 0, `${failure}, ${other}`);
    ended(failure);
    assert.equal(words.length, 1, `${failure}, ${other}`);
  }
});

test('no more endpoints are out at once than their share, and each comes back', () => {
  fc.assert(
    fc.property(outlierArbitrary, stepsArbitrary, (outlier, steps) => {
      const { states, backend } = open(outlier);
      let nowMs = 0;
      for (const { nth, result, waitMs } of steps) {
        nowMs += waitMs;
        states[nth]?.finished({ startedMs: 0, result, latencyMs: 1, nowMs });
        const used = countPicks(backend, 5, undefined, nowMs).size;
        assert.ok(used >= 5 - ejectableCount(5, outlier.maxEjectedPercent), `${used} of 5 are used`);
        assert.ok(used > 0);
      }
      assert.equal(countPicks(backend, 5, undefined, nowMs + outlier.maxEjectionMs).size, 5);
    }),
  );
});

test('with a success rate, only endpoints far below the mean are ejected, and only by enough tries and endpoints', () => {
  const successRate = { intervalMs: 1000, minRequests: 20, minEndpoints: 3, deviations: 1 };
  const outlier: Outlier = {
    consecutiveServerErrors: 0,
    consecutiveGatewayErrors: 0,
    consecutiveLocalFailures: 0,
    successRate,
    baseEjectionMs: 10_000,
    maxEjectionMs: 10_000,
    maxEjectedPercent: 100,
  };
  const pod = fc.record({ tries: fc.integer({ min: 0, max: 60 }), failPercent: fc.integer({ min: 0, max: 100 }) });
  fc.assert(
    fc.property(fc.array(pod, { minLength: 5, maxLength: 5 }), (pods) => {
      const { states, backend, words } = open(outlier);
      countPicks(backend, 1, undefined, 0);
      const rates = pods.map(({ tries, failPercent }, nth) => {
        const bad = Math.round((tries * failPercent) / 100);
        for (let i = 0; i < tries; i++) {
          states[nth]?.finished({
            startedMs: 0,
            result: i < bad ? 'server-error' : 'success',
            latencyMs: 1,
            nowMs: 500,
          });
        }
        return tries < successRate.minRequests ? null : 1 - bad / tries;
      });
      countPicks(backend, 1, undefined, 1000);
      const compared = rates.filter((rate) => rate !== null);
      const least = compared.length < successRate.minEndpoints ? -1 : lowestNormalRate(compared, 1);
      const due = rates.flatMap((rate, nth) => (rate !== null && rate < least ? [`10.0.0.${nth}:80`] : []));
      assert.deepEqual(words.map(({ key }) => key).sort(), due);
      const mean = compared.reduce((sum, rate) => sum + rate, 0) / compared.length;
      for (const { key, reason } of words) {
        assert.equal(reason, 'success-rate');
        assert.ok((rates[Number(key.split(/[.:]/)[3])] ?? 1) < mean - 0.05);
      }
    }),
  );
});

test('a success rate within so many deviations of the mean is normal', () => {
  const rates = [1, 1, 0.6, 0.6];
  assert.ok(lowestNormalRate(rates, 1) > 0.59 && lowestNormalRate(rates, 1) < 0.61);
  assert.ok(lowestNormalRate(rates, 2) > 0.39 && lowestNormalRate(rates, 2) < 0.41);
});

test('a share of healthy endpoints below the panic threshold means that all are used', () => {
  const flags = fc.array(fc.boolean(), { minLength: 1, maxLength: 10 });
  fc.assert(
    fc.property(flags, fc.integer({ min: 0, max: 100 }), (healthy, panicPercent) => {
      const opened = openBackend(
        { balance: { algorithm: 'round-robin' }, healthCheck: plainHealthCheck, panicPercent },
        endpointRows(healthy.length),
      );
      for (const [nth, isHealthy] of healthy.entries())
        opened.selector.setHealth(`10.0.0.${nth}:80`, 'web', isHealthy, 0);
      const well = healthy.flatMap((isHealthy, nth) => (isHealthy ? [`pod-${nth}`] : []));
      const isPanic = well.length === 0 || well.length * 100 < healthy.length * panicPercent;
      const used = new Set<string>();
      for (let i = 0; i < healthy.length; i++) used.add(uidOf(picked(opened.backend)) ?? '');
      assert.deepEqual([...used].sort(), isPanic ? healthy.map((_, nth) => `pod-${nth}`).sort() : well.sort());
    }),
  );
});
