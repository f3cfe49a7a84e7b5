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
  const putById = new Map<KindIn<M>, Map<string, RowIn<M>>>();
  for (const entry of batch.upserts) {
    const ofKind = putById.get(entry.kind);
    if (ofKind === undefined) putById.set(entry.kind, new Map([[entry.row.id, entry]]));
    else ofKind.set(entry.row.id, entry);
  }
  const upserts = batch.upserts.filter((entry) => {
    const { kind, row } = entry;
    return putById.get(kind)?.get(row.id) === entry && !isDeepStrictEqual(table[kind].get(row.id), row);
  });
  const deletes = (batch.isSnapshot ? rowsOf(table) : batch.deletes).filter(
    ({ kind, id }) => table[kind].has(id) && !putById.get(kind)?.has(id),
  );
  return { upserts, deletes };
}

/** Changes the table in place. Returns what takes the change back. */
export function applyDelta<M extends AnyKinds>(table: TableOf<M>, delta: Delta<M>): Delta<M> {
  const inverse: Delta<M> = { upserts: [], deletes: [] };
  for (const { kind, id } of delta.deletes) {
    const row = table[kind].get(id);
    if (row === undefined) continue;
    inverse.upserts.push({ kind, row } as RowIn<M>);
    table[kind].delete(id);
  }
  for (const { kind, row } of delta.upserts) {
    const before = table[kind].get(row.id);
    if (before === undefined) inverse.deletes.push({ kind, id: row.id });
    else inverse.upserts.push({ kind, row: before } as RowIn<M>);
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
