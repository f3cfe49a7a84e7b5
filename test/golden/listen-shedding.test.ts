import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shedding, type ShedGoal } from '../../proxy/listen/shedding.ts';

const mib = 1 << 20;

test('what has come since everything was collected may be garbage, but for what connections hold', () => {
  let held = 10 * mib;
  const shedding = new Shedding(240 * mib, () => held, nobody);
  shedding.collected(50 * mib);
  assert.ok(!shedding.isCollectionDue);
  const seen = (usedMib: number): boolean[] => [shedding.hasGrown(usedMib * mib), shedding.hasGarbage(usedMib * mib)];
  assert.deepEqual(seen(55), [false, false]);
  assert.deepEqual(seen(65), [true, true]);
  held = 25 * mib;
  assert.deepEqual(seen(65), [true, false]);
  assert.deepEqual(seen(80), [true, true]);
  held = 0;
  assert.deepEqual(seen(61), [true, true]);
});

test('the more is ended the sooner memory is full again, and once for each time', async () => {
  const shares: number[] = [];
  const shedding = new Shedding(
    240 * mib,
    () => 0,
    ({ bytes, share }: ShedGoal) => {
      shares.push(share);
      return { bytes, lateBytes: 0 };
    },
  );
  for (const isFilled of [true, false, true, true, true, true]) {
    if (isFilled) shedding.filled();
    shedding.free(mib);
    await Promise.resolve();
    shedding.collected(50 * mib);
  }
  assert.deepEqual(shares, [1 / 16, 0, 1 / 8, 1 / 4, 1 / 2, 1 / 2]);
});

function nobody(): { bytes: number; lateBytes: number } {
  return { bytes: 0, lateBytes: 0 };
}
