import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { silentAfter } from '#kit/patience.ts';

test('a timer that goes off a part of a millisecond too early is no negative wait, of which Node warns', async (t) => {
  const warnings: Error[] = [];
  const warned = (warning: Error) => warnings.push(warning);
  process.on('warning', warned);
  t.after(() => process.off('warning', warned));
  const clock = [0, 0.95];
  t.mock.method(performance, 'now', () => clock.shift() ?? 0.95);
  await new Promise<void>((resolve) => silentAfter(1, resolve));
  // Warnings are told in the order in which they were given.
  const last = once(process, 'warning');
  process.emitWarning('last');
  await last;
  assert.deepEqual(
    warnings.map(({ message }) => message),
    ['last'],
  );
});
