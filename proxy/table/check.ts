import type { Problem, Source } from './problem.ts';
import type { RowKind, RowOf, RowRef, Table } from './rows.ts';

/**
 * Checks that every pointer of the changed rows leads to a row, and that nothing still points at the rows that go.
 * @param table the table as it is after the change
 * @param upserts changed and new rows, by kind and id
 * @param deletes rows that went; when any could be pointed at, all rows of the kinds that may point at it are looked at
 * @returns one problem for each broken pointer; empty when the table holds together
 */
export function checkPointers(table: Table, upserts: readonly RowRef[], deletes: readonly RowRef[]): Problem[] {
  const rechecked = new Set<RowKind>();
  for (const { kind } of deletes) for (const pointing of pointersTo[kind]) rechecked.add(pointing);
  const problems: Problem[] = [];
  for (const { kind, id } of upserts) if (!rechecked.has(kind)) checkRow(table, kind, id, problems);
  for (const kind of rechecked) for (const id of table[kind].keys()) checkRow(table, kind, id, problems);
  return problems;
}

/** Which kinds of rows may point at a row of the kind. */
const pointersTo: { readonly [K in RowKind]: readonly RowKind[] } = {
  listener: ['host'],
  host: ['route'],
  route: [],
  backend: ['route', 'endpoints'],
  endpoints: [],
  certificate: ['host', 'listener'],
  secret: ['backend'],
};

function checkRow(table: Table, kind: RowKind, id: string, problems: Problem[]): void {
  const row = table[kind].get(id);
  if (row === undefined) return;
  const from = (row as { source?: Source | null }).source ?? { kind, namespace: '', name: id };
  const pointAt = (target: RowKind, targetId: string): void => {
    if (!table[target].has(targetId)) problems.push(broken(kind, id, from, target, targetId));
  };
  pointers[kind]?.(row as never, pointAt);
}

type PointAt = (target: RowKind, id: string) => void;

const pointers: { readonly [K in RowKind]?: (row: RowOf<K>, pointAt: PointAt) => void } = {
  listener(row, pointAt) {
    if (row.tls?.defaultCertificateId != null) pointAt('certificate', row.tls.defaultCertificateId);
  },
  host(row, pointAt) {
    for (const id of row.listenerIds) pointAt('listener', id);
    for (const id of row.certificateIds) pointAt('certificate', id);
  },
  route(row, pointAt) {
    for (const id of row.hostIds) pointAt('host', id);
    for (const { backendId } of row.backends) pointAt('backend', backendId);
  },
  backend(row, pointAt) {
    if (row.tls?.caSecretId != null) pointAt('secret', row.tls.caSecretId);
  },
  endpoints(row, pointAt) {
    for (const id of row.backendIds) pointAt('backend', id);
  },
};

function broken(kind: RowKind, id: string, source: Source, target: RowKind, targetId: string): Problem {
  return {
    code: 'PointerBroken',
    severity: 'error',
    source,
    message: `The ${kind} row ${id} points at the ${target} row ${targetId}, which the table does not hold.`,
    hint: 'This is a fault of the sender: report it. The last good table stays in force.',
  };
}
