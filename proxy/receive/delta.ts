import { isDeepStrictEqual } from 'node:util';
import type { ChangeBatch } from '#table/change.ts';
import { type AnyKinds, type KindIn, kindsOf, type RefIn, type RowIn, type TableOf } from '#table/contract.ts';
import type { Delta } from './changes.ts';

/**
 * The rows of a batch that differ from the table. A snapshot is reduced to its differences, too: a proxy that
 * reconnects to a replica with nearly the same content recompiles nearly nothing. A row that is put and dropped is put.
 */
export function deltaOf<M extends AnyKinds>(
  table: TableOf<M>,
  batch: Pick<ChangeBatch<M>, 'isSnapshot' | 'upserts' | 'deletes'>,
): Delta<M> {
  const upserts = new Map<string, RowIn<M>>();
  for (const row of batch.upserts) upserts.set(`${row.kind} ${row.row.id}`, row);
  const deletes = (batch.isSnapshot ? rowsOf(table) : batch.deletes).filter(
    ({ kind, id }) => table[kind].has(id) && !upserts.has(`${kind} ${id}`),
  );
  const changed = [...upserts.values()].filter(({ kind, row }) => !isDeepStrictEqual(table[kind].get(row.id), row));
  return { upserts: changed, deletes };
}

/** Changes the table in place. Returns what takes the change back. */
export function applyDelta<M extends AnyKinds>(table: TableOf<M>, delta: Delta<M>): Delta<M> {
  const inverse: Delta<M> = { upserts: [], deletes: [] };
  const touched = new Set<string>();
  const remember = (kind: KindIn<M>, id: string): void => {
    const key = `${kind} ${id}`;
    if (touched.has(key)) return;
    touched.add(key);
    const row = table[kind].get(id);
    if (row === undefined) inverse.deletes.push({ kind, id });
    else inverse.upserts.push({ kind, row } as RowIn<M>);
  };
  for (const ref of delta.deletes) {
    remember(ref.kind, ref.id);
    table[ref.kind].delete(ref.id);
  }
  for (const { kind, row } of delta.upserts) {
    remember(kind, row.id);
    table[kind].set(row.id, row);
  }
  return inverse;
}

/** Every row of the table, as the change that makes it from nothing. */
export function deltaFromNothing<M extends AnyKinds>(table: TableOf<M>): Delta<M> {
  const upserts: RowIn<M>[] = [];
  for (const kind of kindsOf(table)) {
    for (const row of table[kind].values()) upserts.push({ kind, row } as RowIn<M>);
  }
  return { upserts, deletes: [] };
}

/** true when only endpoints change: then nothing is checked or compiled but addresses. */
export function isEndpointsOnly(delta: Delta): boolean {
  return (
    delta.upserts.every((row) => row.kind === 'endpoints') && delta.deletes.every((ref) => ref.kind === 'endpoints')
  );
}

function rowsOf<M extends AnyKinds>(table: TableOf<M>): RefIn<M>[] {
  return kindsOf(table).flatMap((kind) => [...table[kind].keys()].map((id) => ({ kind, id })));
}
