import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applied, get, onceApplied, refused, secret, startController, stopAll, TestProxy } from './streamrig.ts';

test('a refusal of one stream is no answer on the next, where the same table is offered again and applied', async (t) => {
  const controller = await startController();
  const { publisher, url } = controller;
  publisher.stage([secret('a', '1')], []);
  publisher.commit({}, {});
  const isApplied = onceApplied(publisher);
  // Signs of life are given when the test says so.
  t.mock.timers.enable({ apis: ['setInterval'] });
  let offers = 0;
  const proxy = new TestProxy([url], {
    async answer(batch) {
      if (++offers === 1) return refused(batch, 'TableFromThePast');
      t.mock.timers.tick(10_000);
      // What was said by then is heard by then.
      for (let i = 0; i < 3; i++) await get(url, undefined);
      return applied(batch);
    },
  });
  try {
    await isApplied;
    assert.equal(offers, 2);
    assert.deepEqual(
      publisher.readers().map((reader) => reader.refused),
      [[]],
    );
  } finally {
    t.mock.timers.reset();
    await stopAll(proxy, controller);
  }
});
