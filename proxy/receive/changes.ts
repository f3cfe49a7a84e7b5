import type { AnyKinds, KindIn, RefIn, RowIn } from '#table/contract.ts';
import type { Rows } from '#table/rows.ts';

/** What really changes between two tables. No row is in it twice. */
export interface Delta<M = Rows> {
  upserts: RowIn<M>[];
  deletes: RefIn<M>[];
}

/** What changes, one after the other: a plan that comes in whole is too long for another list of it. */
export function* refsOf<M extends AnyKinds>({ upserts, deletes }: Delta<M>): Generator<RefIn<M>, void> {
  yield* deletes;
  for (const { kind, row } of upserts) yield { kind, id: row.id };
}

/**
 * The changes of one kind by id; null: the row went. Apart from delta.ts because workers need no more than this: what they
 * import, schemas above all, their clients wait for after a crash.
 */
export function changesOf<M extends AnyKinds, K extends KindIn<M>>(delta: Delta<M>, kind: K): Map<string, M[K] | null> {
  const changes = new Map<string, M[K] | null>();
  for (const ref of delta.deletes) if (ref.kind === kind) changes.set(ref.id, null);
  for (const row of delta.upserts) if (row.kind === kind) changes.set(row.row.id, row.row as M[K]);
  return changes;
}
