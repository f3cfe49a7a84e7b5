import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Ack } from '#table/change.ts';
import { type Row, type Rows, tableContract } from '#table/rows.ts';
import { startPipeline } from '../../controller/pipeline.ts';
import { Promises } from '../../controller/promises.ts';
import { type Batch, Publisher } from '../../controller/publish/publisher.ts';
import { HeldView } from '../../controller/watch/held.ts';
import type { Source } from '../../controller/watch/source.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';

const view = new HeldView();

/** A pipeline whose tables hold one row of changing content, and proxies that answer when they are told to. */
function startChurn() {
  const publisher = new Publisher(tableContract);
  const promised: (readonly string[])[] = [];
  let onUpdate: (update: ViewUpdate) => void = () => {};
  let now: { row: Row; ingresses: readonly string[] } = { row: rowOf('0'), ingresses: [] };
  const source: Source = { useSecrets: () => new Set(), state: () => ({}), stop() {} };
  startPipeline({
    openSource(callback) {
      onUpdate = callback;
      return source;
    },
    translator: {
      apply: () => ({
        ...{ upserts: [now.row], deletes: [], problems: [], secretsInUse: new Set() },
        ingresses: now.ingresses,
      }),
    },
    publisher,
    fixedRows: [],
    plans: null,
    nowMs: () => 0,
    onApplied: ({ ingresses }) => promised.push(ingresses),
  });
  return {
    promised,
    change(value: string, ingresses: readonly string[]): void {
      now = { row: rowOf(value), ingresses };
      onUpdate({ view, changes: [], unreadable: [], seen: {}, holds: {} });
    },
    /** @returns answers the batch that is under way */
    proxy(name: string): () => Promise<void> {
      let underWay: { batch: Batch<Rows>; resolve: (ack: Ack) => void } | null = null;
      publisher.subscribe({
        ...{ name, zone: null, node: null, admin: null, hash: '', isObserver: false },
        deliver: (batch) => new Promise((resolve) => (underWay = { batch, resolve })),
      });
      return async () => {
        const { hash, generation } = underWay?.batch.commit ?? { hash: '', generation: 0 };
        underWay?.resolve({ type: 'applied', hash, generation });
        // The answer goes through some promises, and the next batch out.
        await setImmediate();
      };
    },
  };
}

function rowOf(value: string): Row {
  return { kind: 'secret', row: { id: 'a', value } };
}

test('tables that change faster than proxies apply them keep no status from an Ingress', async () => {
  const { promised, change, proxy } = startChurn();
  const [one, other] = [['/one'], ['/one', '/other']];
  change('1', one);
  const answers = [proxy('near'), proxy('far')] as const;
  // From here on there is always a table that no proxy has.
  change('2', one);
  await answers[0]();
  assert.deepEqual(promised, []);
  await answers[1]();
  assert.deepEqual(promised.at(-1), one);
  change('3', other);
  for (const answer of answers) await answer();
  assert.deepEqual(promised.at(-1), one);
  change('4', other);
  await answers[0]();
  assert.deepEqual(promised.at(-1), one);
  await answers[1]();
  assert.deepEqual(promised.at(-1), other);
});

test('an Ingress that is not ours any more is promised nothing, though the tables in force have it', async () => {
  const { promised, change, proxy } = startChurn();
  change('1', ['/stays', '/goes']);
  const answer = proxy('proxy');
  change('2', ['/stays']);
  await answer();
  assert.deepEqual(promised, [['/stays']]);
});

test('what no proxy takes does not pile up, and the newest is promised in the end', () => {
  const promises = new Promises();
  for (let generation = 1; generation <= 10_000; generation++) promises.committed(generation, [`/${generation}`]);
  assert.deepEqual(promises.heldAt(9_999, ['/63', '/9999', '/10000']), ['/63']);
  assert.deepEqual(promises.heldAt(10_000, ['/63', '/9999', '/10000']), ['/10000']);
});
