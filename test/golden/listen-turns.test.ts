import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awaitTurn } from '../../proxy/listen/turns.ts';

test('of what many wait for each source has one after the other, in its own order, and a turn has few that take long', async () => {
  const [one, two, three] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'] as const;
  const done: string[] = [];
  let turn = 0;
  const turns: number[] = [];
  await new Promise<void>((resolve) => {
    for (const [source, name] of [
      [one, 'a'],
      [one, 'b'],
      [one, 'c'],
      [two, 'd'],
      [two, 'e'],
      [three, 'f'],
    ] as const) {
      awaitTurn(source, () => {
        done.push(name);
        turns.push(turn);
        busy(1.5);
        if (done.length === 6) resolve();
      });
    }
    assert.deepEqual(done, []);
    setImmediate(function count() {
      turn++;
      if (done.length < 6) setImmediate(count);
    });
  });
  assert.deepEqual(done, ['a', 'd', 'f', 'b', 'e', 'c']);
  assert.deepEqual(turns, [0, 1, 2, 3, 4, 5]);
});

test('who waits again when his turn has come waits for another turn of the loop, though nobody else does', async () => {
  let turn = 0;
  const turns: number[] = [];
  await new Promise<void>((resolve) => {
    const again = () => {
      turns.push(turn);
      if (turns.length < 8) awaitTurn('192.0.2.1', again);
      else resolve();
      busy(1.5);
    };
    awaitTurn('192.0.2.1', again);
    setImmediate(function count() {
      turn++;
      if (turns.length < 8) setImmediate(count);
    });
  });
  assert.deepEqual(turns, [0, 1, 2, 3, 4, 5, 6, 7]);
});

/** Longer than all that a turn has for them. */
function busy(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}
