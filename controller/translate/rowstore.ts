import { isDeepStrictEqual } from 'node:util';
import type { AnyKinds, RefIn, RowIn } from '#table/contract.ts';
import type { Rows } from '#table/rows.ts';

/**
 * The rows in force, each owned by the step that made it (`host:shop.example.com`). A step hands in all its rows anew;
 * what did not change keeps its old object, so nothing downstream sees a change that is none.
 */
export class RowStore<M extends AnyKinds = Rows> {
  readonly #rowsByOwner = new Map<string, readonly RowIn<M>[]>();
  /** A row may move: a rule whose host changes takes its route from one host to another, in either order. */
  readonly #ownerByKey = new Map<string, string>();
  #upserts = new Map<string, RowIn<M>>();
  #deletes = new Map<string, RowIn<M>>();

  /** @param rows all rows of this owner; once every step has run, an id has one owner */
  replace(owner: string, rows: readonly RowIn<M>[]): void {
    const before = new Map((this.#rowsByOwner.get(owner) ?? []).map((row) => [keyOf(row), row]));
    const after: RowIn<M>[] = [];
    for (const row of rows) {
      const key = keyOf(row);
      const old = before.get(key);
      before.delete(key);
      const isOwn = this.#ownerByKey.get(key) === owner;
      this.#ownerByKey.set(key, owner);
      if (isOwn && old !== undefined && (old.row === row.row || isDeepStrictEqual(old.row, row.row))) {
        after.push(old);
        continue;
      }
      const gone = this.#deletes.get(key);
      this.#deletes.delete(key);
      // Taken back under another owner within one apply: no change at all.
      if (gone !== undefined && isDeepStrictEqual(gone.row, row.row)) {
        after.push(gone);
        continue;
      }
      after.push(row);
      this.#upserts.set(key, row);
    }
    for (const [key, row] of before) {
      if (this.#ownerByKey.get(key) !== owner) continue;
      this.#ownerByKey.delete(key);
      this.#upserts.delete(key);
      this.#deletes.set(key, row);
    }
    if (after.length === 0) this.#rowsByOwner.delete(owner);
    else this.#rowsByOwner.set(owner, after);
  }

  /** What changed since the last call. */
  takeChanges(): { upserts: RowIn<M>[]; deletes: RefIn<M>[] } {
    const deletes = [...this.#deletes.values()].map(({ kind, row }) => ({ kind, id: row.id }));
    const changes = { upserts: [...this.#upserts.values()], deletes };
    this.#upserts = new Map();
    this.#deletes = new Map();
    return changes;
  }
}

function keyOf({ kind, row }: { kind: string; row: { id: string } }): string {
  return `${kind} ${row.id}`;
}
