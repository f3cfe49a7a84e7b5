import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RetryBudget } from '../../proxy/forward/budget.ts';

const step = fc.record({
  waitMs: fc.oneof({ weight: 5, arbitrary: fc.nat(50) }, { weight: 1, arbitrary: fc.nat(30_000) }),
  requests: fc.nat(40),
  failures: fc.nat(60),
});

test('in no ten seconds are there more retries than a fifth of the requests and the fixed rate', () => {
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 100 }),
      fc.constantFrom(0, 1, 10),
      fc.nat(100_000),
      (steps, rate, start) => {
        const budget = new RetryBudget(rate, start);
        const requests: number[] = [];
        const retries: number[] = [];
        let nowMs = start;
        for (const each of steps) {
          nowMs += each.waitMs;
          for (let i = 0; i < each.requests; i++) {
            budget.deposit(nowMs);
            requests.push(nowMs);
          }
          for (let i = 0; i < each.failures; i++) {
            const second = Math.floor(nowMs / 1000);
            const inWindow = (times: readonly number[]) =>
              times.filter((atMs) => Math.floor(atMs / 1000) > second - 10).length;
            const allowed = inWindow(requests) * 0.2 + rate * 10;
            const isGranted = budget.withdraw(nowMs);
            assert.equal(isGranted, inWindow(retries) + 1 <= allowed);
            if (isGranted) retries.push(nowMs);
          }
        }
      },
    ),
  );
});
