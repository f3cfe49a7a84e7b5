import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tooMany } from '../../proxy/fleet/spread.ts';

const busy = (connections: number) => ({ connections, utilization: 0.9 });

test('workers far above the mean have too many connections, by half of what is above; the others keep theirs', () => {
  assert.deepEqual(tooMany([busy(47), busy(33), busy(28), busy(20)]), [8, 0, 0, 0]);
  assert.deepEqual(tooMany([busy(35), busy(32), busy(30), busy(31)]), [0, 0, 0, 0]);
});

test('few connections, and those of a worker with little to do, stay where they are', () => {
  assert.deepEqual(tooMany([busy(12), busy(2)]), [0, 0]);
  assert.deepEqual(tooMany([{ connections: 400, utilization: 0.05 }, busy(100)]), [0, 0]);
});

test('whatever the hash has done, eight workers are even after a few rounds', () => {
  let seed = 7;
  const draw = () => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return (seed >>> 8) % 8;
  };
  const counts = new Array<number>(8).fill(0);
  const come = (worker: number) => {
    counts[worker] = (counts[worker] as number) + 1;
  };
  for (let i = 0; i < 256; i++) come(i % 4 === 0 ? 0 : draw());
  for (let round = 0; round < 30; round++) {
    for (const [worker, leaving] of tooMany(counts.map(busy)).entries()) {
      counts[worker] = (counts[worker] as number) - leaving;
      for (let i = 0; i < leaving; i++) come(draw());
    }
  }
  assert.ok(Math.max(...counts) / 32 <= 1.2, counts.join(' '));
});
