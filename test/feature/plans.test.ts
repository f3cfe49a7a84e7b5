import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Plans } from '../../controller/plans.ts';
import { HeldView } from '../../controller/watch/held.ts';
import type { ObjectKind } from '../../controller/watch/objects.ts';
import { readObject } from '../../controller/watch/read.ts';

/** Plans of two nodes that may announce, after the first commit. */
function planned(hearingMs?: number): { plans: Plans; answered: Promise<void>; connect(node: string): Promise<void> } {
  const view = new HeldView();
  const put = (kind: ObjectKind, raw: object) => {
    const { object } = readObject(kind, raw);
    assert.ok(object);
    view.put(object);
  };
  for (const name of ['n1', 'n2']) put('Node', { metadata: { name } });
  put('Announcement', { metadata: { name: 'all' }, spec: { l2: {} } });
  const options = { loadBalancerClass: 'sluice.dev/edge', servesClassless: false, secretNamespace: 'sluice' };
  const plans = new Plans(options, [], hearingMs);
  const { promise, resolve } = Promise.withResolvers<void>();
  const services = { planned: () => undefined, answered: () => isOver() && resolve() };
  const isOver = () => plans.reach().isWithdrawn(1);
  plans.writeBy({ services, pools: { changed: () => undefined }, announced: { assigned: () => undefined } });
  plans.stage({ view, changes: [] });
  plans.commit(view, {}, {});
  return {
    plans,
    answered: promise,
    async connect(node) {
      const applied = Promise.withResolvers<void>();
      plans.publisher.onAnswer(applied.resolve);
      plans.publisher.subscribe({
        ...{ name: node, zone: null, node, admin: null, hash: '', isObserver: false },
        deliver: async ({ commit: { hash, generation } }) => ({ type: 'applied', hash, generation }),
      });
      await applied.promise;
    },
  };
}

test('a controller that has just begun takes nothing for withdrawn before the edges of all nodes have found it', async () => {
  const { plans, answered, connect } = planned(3_600_000);
  assert.equal(plans.reach().isWithdrawn(1), false, 'no edge');
  await connect('n1');
  assert.equal(plans.reach().isWithdrawn(1), false, 'one of two');
  await connect('n2');
  assert.equal(plans.reach().isWithdrawn(1), true);
  await answered;
});

test('nodes without an edge are waited for so long, and it is told when that is over', async (t) => {
  // The process may wait for nothing else.
  const alive = setInterval(() => undefined, 1_000);
  t.after(() => clearInterval(alive));
  const { plans, answered } = planned(20);
  await answered;
  assert.equal(plans.reach().isWithdrawn(1), true);
});

test('a name server that keeps names for half a minute is waited for', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { plans } = planned();
  t.mock.timers.tick(45_000);
  assert.equal(plans.reach().isWithdrawn(1), false);
  t.mock.timers.tick(15_000);
  assert.equal(plans.reach().isWithdrawn(1), true);
});
