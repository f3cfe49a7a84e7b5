import type { Row, RowKind, RowOf, RowRef } from '#table/rows.ts';

/** What really changes between two tables. No row is in both lists. */
export interface Delta {
  upserts: Row[];
  deletes: RowRef[];
}

/**
 * The changes of one kind by id; null: the row went. Apart from delta.ts because workers need no more than this: what they
 * import, schemas above all, their clients wait for after a crash.
 */
export function changesOf<K extends RowKind>(delta: Delta, kind: K): Map<string, RowOf<K> | null> {
  const changes = new Map<string, RowOf<K> | null>();
  for (const ref of delta.deletes) if (ref.kind === kind) changes.set(ref.id, null);
  for (const row of delta.upserts) if (row.kind === kind) changes.set(row.row.id, row.row as RowOf<K>);
  return changes;
}
