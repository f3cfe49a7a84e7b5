import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EndpointState, Pick } from '../../proxy/select/types.ts';
import { countPicks, endpointRow, endpointRows, factsOf, openBackend } from './selecting.ts';

describe('slow start', () => {
  for (const algorithm of ['round-robin', 'least-request', 'ewma'] as const) {
    test(`${algorithm}: a new endpoint's share grows to its own`, () => {
      const opened = openBackend({ balance: { algorithm }, slowStartMs: 10_000 }, endpointRows(3));
      const share = (nowMs: number) => (countPicks(opened.backend, 8000, undefined, nowMs).get('pod-3') ?? 0) / 2000;
      opened.setEndpoints(endpointRows(4), 1000);
      const [first, half, full] = [share(1000), share(6000), share(11_000)];
      assert.ok(first > 0.03 && first < 0.3, `at first ${first}`);
      assert.ok(half > 0.35 && half < 0.8, `halfway ${half}`);
      assert.ok(full > 0.9 && full < 1.1, `in the end ${full}`);
    });
  }
  for (const algorithm of ['least-request', 'ewma'] as const) {
    test(`${algorithm}: the idlest of all is not taken for it, however many wait at the others`, () => {
      for (const others of [1, 3]) {
        const opened = openBackend({ balance: { algorithm }, slowStartMs: 10_000 }, endpointRows(others));
        opened.setEndpoints(endpointRows(others + 1), 1000);
        const inFlight: EndpointState[] = [];
        const share = (nowMs: number) => {
          let fresh = 0;
          for (let nth = 0; nth < 4000; nth++) {
            const { endpoint } = opened.backend.pick(factsOf(), [], nowMs) as Pick;
            if (endpoint.endpoint.uid === `pod-${others}`) fresh++;
            endpoint.started();
            inFlight.push(endpoint);
            const done = inFlight.length > 20 * others ? inFlight.shift() : undefined;
            done?.finished({ startedMs: nowMs, result: 'success', latencyMs: 20, nowMs });
          }
          return (fresh * others) / (4000 - fresh);
        };
        const [first, half, full] = [share(1000), share(6000), share(11_000)];
        assert.ok(first < 0.2, `at first ${first}`);
        assert.ok(half > 0.35 && half < 0.65, `halfway ${half}`);
        assert.ok(full > 0.9 && full < 1.1, `in the end ${full}`);
      }
    });
  }
  test('the first endpoints of a backend, and a lone one, are not held back', () => {
    const opened = openBackend({ balance: { algorithm: 'round-robin' }, slowStartMs: 10_000 }, endpointRows(2));
    assert.equal(countPicks(opened.backend, 100).get('pod-0'), 50);
    opened.setEndpoints([endpointRow(7)], 5);
    assert.equal(countPicks(opened.backend, 10, undefined, 5).get('pod-7'), 10);
  });
});
