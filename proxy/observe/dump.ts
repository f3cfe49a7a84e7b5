import { type AnyKinds, type Contract, kindsOf, type TableOf } from '#table/contract.ts';

/**
 * A table as people may see it: one member per kind, rows by id in order, so that `jq '.route["ingress/…"]'` and a diff of
 * two dumps work. Of sealed rows it shows what their contract allows.
 */
export function dumpOf<M extends AnyKinds>({ schemas, sealed }: Contract<M>, table: TableOf<M>): object {
  const kinds: { [kind: string]: { [id: string]: object } } = {};
  for (const kind of kindsOf(schemas)) {
    const byId: { [id: string]: object } = {};
    for (const [id, row] of [...table[kind]].sort(byName)) byId[id] = sealed[kind]?.(row) ?? row;
    kinds[kind] = byId;
  }
  return kinds;
}

function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
