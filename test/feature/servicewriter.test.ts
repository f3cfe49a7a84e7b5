import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Intent } from '../../controller/addresses/allocator.ts';
import { ServiceWriter } from '../../controller/status/servicewriter.ts';
import { HeldView } from '../../controller/watch/held.ts';
import { readObject } from '../../controller/watch/read.ts';
import { quiet } from '../kit/quiet.ts';
import { waitUntil } from '../kit/wait.ts';

test('what was written while one led before is no repetition: another leader may have taken it back', async (t) => {
  const [key, uid] = ['default/web', 'u1'];
  const intents = new Map<string, Intent>();
  const view = new HeldView();
  const heard: string[] = [];
  let writes = 0;
  const writer = new ServiceWriter({
    plans: {
      intents: () => intents,
      assignments: () => new Map(),
      reach: () => ({ isAnnounced: () => true, isWithdrawn: () => true }),
    },
    write: async () => {
      writes++;
      return { status: 200, body: { metadata: { resourceVersion: '5' } }, retryAfterMs: null };
    },
    tell: () => undefined,
    log: { ...quiet, warn: (_fields: object, message: string) => heard.push(message) },
  });
  t.after(() => writer.stop());
  /** A plan of a view in which the Service has this label, and an address that is to be written down, or none. */
  const plan = (label: string, seen: number, isOpen: boolean): void => {
    const { object } = readObject('Service', {
      metadata: { namespace: 'default', name: 'web', uid, labels: { label } },
    });
    assert.ok(object);
    view.put(object);
    intents.clear();
    const allocations = [{ address: '192.0.2.1', pool: 'pool' }];
    if (isOpen) intents.set(key, { uid, allocations, clearsStatus: false });
    writer.planned({ view, assigned: [], touched: [key], generation: 1, seen });
  };
  writer.lead(true);
  plan('bare', 1, true);
  await waitUntil(() => writes === 1, 'the record');
  plan('written', 5, false);
  await waitUntil(() => writer.state().waiting === 0, 'it to be seen');
  writer.lead(false);
  plan('taken back', 7, true);
  // It is for another one to write.
  assert.equal(writer.state().waiting, 0);
  writer.lead(true);
  await waitUntil(() => writes === 2 || heard.length > 0, 'the record of the second time');
  assert.deepEqual(heard, []);
});
