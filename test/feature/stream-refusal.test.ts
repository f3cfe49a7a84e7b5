import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Ack } from '#table/change.ts';
import { waitUntil } from '../kit/wait.ts';
import { applied, get, onceApplied, refused, secret, startController, stopAll, TestProxy, token } from './streamrig.ts';

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

test('of which kind a proxy holds more than was seen is told, where the table was sent and nowhere else', async () => {
  const behind: string[] = [];
  const controller = await startController(undefined, (kind) => behind.push(kind));
  controller.publisher.stage([secret('a', '1')], []);
  const commit = controller.publisher.commit({}, {});
  const ack: Ack = {
    ...{ type: 'refused', hash: commit.hash, generation: commit.generation },
    problems: ['Ingress', 'Service team'].map((kind) => ({
      ...{ code: 'TableFromThePast', severity: 'warning', message: 'm', hint: 'h' },
      source: { kind, namespace: '', name: '' },
    })),
  };
  const elsewhere = { stream: 'of another', name: 'proxy-2', zone: null, node: null, admin: null, ack };
  const heard = await get(`${controller.url}/v1/acks`, `Bearer ${token}`, JSON.stringify(elsewhere));
  assert.equal(heard.status, 200);
  assert.deepEqual(behind, []);
  const proxy = new TestProxy([controller.url], { answer: () => ack });
  try {
    await waitUntil(() => behind.length >= 2, 'the refusal to be heard');
    assert.deepEqual(behind.slice(0, 2), ['Ingress', 'Service']);
  } finally {
    await stopAll(proxy, controller);
  }
});
