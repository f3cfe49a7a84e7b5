import { type AnyKinds, type Contract, type KindIn, kindsOf, type RefIn, type TableOf } from './contract.ts';
import type { Problem, Source } from './problem.ts';

/**
 * Checks that every pointer of the changed rows leads to a row, and that nothing still points at the rows that go.
 * @param table the table as it is after the change
 * @param upserts changed and new rows, by kind and id
 * @param deletes rows that went; when any could be pointed at, all rows of the kinds that may point at it are looked at
 * @returns one problem for each broken pointer; empty when the table holds together
 */
export function checkPointers<M extends AnyKinds>(
  { pointers }: Pick<Contract<M>, 'pointers'>,
  table: TableOf<M>,
  upserts: Iterable<RefIn<M>>,
  deletes: readonly RefIn<M>[],
): Problem[] {
  const gone = new Set<keyof M>(deletes.map(({ kind }) => kind));
  const targets = new Map(kindsOf(table).map((kind) => [kind, targetsOf(pointers, kind)]));
  const rechecked = new Set(kindsOf(table).filter((kind) => targets.get(kind)?.some((to) => gone.has(to))));
  const problems: Problem[] = [];
  const check = (kind: KindIn<M>, id: string): void => {
    const row = table[kind].get(id);
    if (row === undefined) return;
    for (const target of targets.get(kind) ?? []) {
      for (const targetId of pointers[kind]?.[target]?.(row) ?? []) {
        if (!table[target].has(targetId)) problems.push(broken(kind, row, target, targetId));
      }
    }
  };
  for (const { kind, id } of upserts) if (!rechecked.has(kind)) check(kind, id);
  for (const kind of rechecked) for (const id of table[kind].keys()) check(kind, id);
  return problems;
}

function targetsOf<M>(pointers: Contract<M>['pointers'], kind: KindIn<M>): readonly KindIn<M>[] {
  return Object.keys(pointers[kind] ?? {}) as KindIn<M>[];
}

function broken(kind: string, row: { id: string; source?: Source | null }, target: string, targetId: string): Problem {
  return {
    code: 'PointerBroken',
    severity: 'error',
    source: row.source ?? { kind, namespace: '', name: row.id },
    message: `The ${kind} row ${row.id} points at the ${target} row ${targetId}, which the table does not hold.`,
    hint: 'This is a fault of the sender: report it. The last good table stays in force.',
  };
}
