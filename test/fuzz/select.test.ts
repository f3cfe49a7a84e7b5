import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cookieValues, serialiseCookie } from '../../proxy/select/cookie.ts';
import type { EndpointState, TryResult } from '../../proxy/select/types.ts';
import type { Backend, Endpoint } from '../../proxy/table/backend.ts';
import { cookieAffinity, endpointRow, factsOf, openBackend } from '../golden/selecting.ts';
import { plainHealthCheck } from '../kit/rows.ts';

const endpointArbitrary: fc.Arbitrary<Endpoint> = fc
  .record({
    nth: fc.nat(12),
    uid: fc.constantFrom('a', 'b', undefined),
    weight: fc.integer({ min: 1, max: 1000 }),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    zone: fc.constantFrom(null, 'a', 'b'),
    node: fc.constantFrom(null, 'n1', 'n2'),
    forZones: fc.subarray(['a', 'b']),
  })
  .map(({ nth, uid, ...fields }) => endpointRow(nth, { ...fields, uid: uid ?? `pod-${nth}` }));

const balanceArbitrary: fc.Arbitrary<Backend['balance']> = fc.oneof(
  fc.constant({ algorithm: 'round-robin' as const }),
  fc.constant({ algorithm: 'least-request' as const }),
  fc.constant({ algorithm: 'ewma' as const }),
  fc
    .nat(4)
    .map((subsetSize) => ({ algorithm: 'ring-hash' as const, parts: [{ type: 'target' as const }], subsetSize })),
);

const affinityArbitrary: fc.Arbitrary<Backend['affinity']> = fc.oneof(
  fc.constant(null),
  fc
    .record({ mode: fc.constantFrom('persistent' as const, 'balanced' as const), changeOnFailure: fc.boolean() })
    .map((fields) => ({ ...cookieAffinity, ...fields })),
  fc.integer({ min: 1, max: 10 }).map((timeoutSeconds) => ({ type: 'client-ip' as const, timeoutSeconds })),
);

const rowArbitrary: fc.Arbitrary<Partial<Backend>> = fc.record({
  balance: balanceArbitrary,
  affinity: affinityArbitrary,
  healthCheck: fc.constantFrom(null, plainHealthCheck),
  prefer: fc.constantFrom('any' as const, 'zone' as const, 'node' as const),
  slowStartMs: fc.constantFrom(0, 1000),
  panicPercent: fc.integer({ min: 0, max: 100 }),
  outlier: fc.record({
    consecutiveServerErrors: fc.nat(3),
    consecutiveGatewayErrors: fc.nat(3),
    consecutiveLocalFailures: fc.nat(3),
    successRate: fc.constantFrom(null, { intervalMs: 100, minRequests: 1, minEndpoints: 2, deviations: 0.5 }),
    baseEjectionMs: fc.integer({ min: 1, max: 1000 }),
    maxEjectionMs: fc.integer({ min: 1, max: 3000 }),
    maxEjectedPercent: fc.integer({ min: 0, max: 100 }),
  }),
});

type Step =
  | { type: 'endpoints'; rows: Endpoint[] }
  | { type: 'backend'; row: Partial<Backend> }
  | { type: 'request'; client: number; result: TryResult; retries: number }
  | { type: 'health'; nth: number; isHealthy: boolean }
  | { type: 'time'; ms: number };

const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('endpoints' as const),
      rows: fc.array(endpointArbitrary, { maxLength: 10 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('backend' as const), row: rowArbitrary }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('request' as const),
      client: fc.nat(3),
      result: fc.constantFrom<TryResult>(
        'success',
        'server-error',
        'gateway-error',
        'local-failure',
        'unreachable',
        'abandoned',
      ),
      retries: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('health' as const), nth: fc.nat(12), isHealthy: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('time' as const), ms: fc.nat(2000) }) },
);

/** The addresses that requests may go to, and those where a session may stay. */
function allowed(rows: readonly Endpoint[]): { fresh: Set<string>; kept: Set<string> } {
  const ready = rows.filter((row) => row.ready);
  const leaving = rows.filter((row) => row.serving && row.terminating);
  const fresh = new Set((ready.length > 0 ? ready : leaving).map((row) => row.address));
  return { fresh, kept: new Set([...fresh, ...leaving.map((row) => row.address)]) };
}

test('whatever happens, a pick is an endpoint of the table that may serve, and there is one whenever the table has one', () => {
  fc.assert(
    fc.property(rowArbitrary, fc.array(stepArbitrary, { maxLength: 60 }), fc.integer(), (first, steps, seed) => {
      const opened = openBackend(first, [], { seed, zone: 'a', node: 'n1' });
      let rows: Endpoint[] = [];
      let nowMs = 0;
      const cookies: string[] = [];
      for (const step of steps) {
        if (step.type === 'time') nowMs += step.ms;
        else if (step.type === 'health') opened.selector.setHealth(`10.0.0.${step.nth}:80`, 'web', step.isHealthy, 0);
        else if (step.type === 'backend') opened.setBackend(step.row);
        else if (step.type === 'endpoints') {
          const old = new Set(rows.map((row) => `${row.address}:80`));
          const now = new Set(step.rows.map((row) => `${row.address}:80`));
          rows = step.rows;
          assert.deepEqual(new Set(opened.setEndpoints(rows, nowMs)), old.difference(now));
        } else request(step);
      }

      function request(step: Extract<Step, { type: 'request' }>): void {
        const { fresh, kept } = allowed(rows);
        const tried: EndpointState[] = [];
        for (let attempt = 0; attempt <= step.retries; attempt++) {
          const headers = { cookie: cookies[step.client] ?? '' };
          const facts = factsOf({ headers, clientAddress: `192.0.2.${step.client}`, target: `/${step.client}` });
          const pick = opened.backend.pick(facts, tried, nowMs);
          if (pick === null) {
            assert.equal(fresh.size, 0);
            return;
          }
          assert.ok(kept.has(pick.endpoint.address), 'an endpoint that may not serve');
          if (pick.setCookie !== null) {
            assert.ok(fresh.has(pick.endpoint.address), 'a new session on an endpoint that goes away');
            cookies[step.client] = pick.setCookie.slice(0, pick.setCookie.indexOf(';'));
          }
          pick.endpoint.started();
          pick.endpoint.finished({ startedMs: 0, result: step.result, latencyMs: 5, nowMs });
          assert.equal(pick.endpoint.inFlight, 0);
          if (step.result === 'success') return;
          tried.push(pick.endpoint);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test('a cookie that was written is read back, beside any others', () => {
  const token = fc.stringMatching(/^[A-Za-z0-9_-]{1,30}$/);
  fc.assert(
    fc.property(token, token, fc.array(fc.tuple(token, token)), (name, value, others) => {
      const written = serialiseCookie({ ...cookieAffinity, name }, value, {
        routePath: '/',
        isTls: true,
        userAgent: '',
        wallMs: 0,
      });
      const pairs = [
        ...others.filter(([other]) => other !== name).map((pair) => pair.join('=')),
        written.split(';')[0],
      ];
      assert.deepEqual(cookieValues(pairs.join('; '), name), [value]);
    }),
  );
});

test('whatever a row and a route hold, a Set-Cookie is one line of visible ASCII with the attributes that were meant', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 });
  fc.assert(
    fc.property(text, fc.option(text), fc.option(text), (routePath, path, domain) => {
      const written = serialiseCookie({ ...cookieAffinity, path, domain }, 'v', {
        routePath,
        isTls: false,
        userAgent: '',
        wallMs: 0,
      });
      assert.match(written, /^[\x20-\x7e]+$/);
      const names = written.split(';').map((part) => part.trim().split('=')[0]);
      assert.deepEqual(
        names.filter((name) => name !== 'Domain'),
        ['INGRESSCOOKIE', 'Path', 'HttpOnly'],
      );
    }),
  );
});

test('a Cookie field of any text is read without harm, and what is found is in it', () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('i', 'd', '=', ';', ' ', ',', '"', '1') }), (field) => {
      for (const value of cookieValues(field, 'id')) {
        assert.ok(field.includes(value));
        assert.doesNotMatch(value, /[;, ]/);
      }
    }),
  );
});
