import type { Source } from '#table/problem.ts';
import type { Row, RowRef, Table } from '#table/rows.ts';
import { prefixes } from '../annotations/registry.ts';
import type { AnyObject } from '../watch/objects.ts';
import { keyOf, type ObjectKey } from '../watch/view.ts';
import { flat } from './flat.ts';
import { changed, type State } from './state.ts';

/** What sets a field of a row, by `<kind> <id> <field>`: an annotation of an Ingress, or a key of the ConfigMap. */
export type Origins = ReadonlyMap<string, string>;

/**
 * What sets the fields of rows. No list says which annotation leads to which field: each is left out once, and what then
 * differs in the rows is its doing.
 *
 * @param ingresses whose annotations are tried
 */
export function originsOf(
  state: State,
  configMap: ObjectKey | null,
  ingresses: readonly Source[],
  rows: readonly RowRef[],
): Origins {
  const origins = new Map<string, string>();
  const before = textsOf(state.table, rows);
  const tryWithout = (object: AnyObject, without: AnyObject, name: string) => {
    apply(state, without);
    const after = textsOf(state.table, rows);
    apply(state, object);
    for (const [field, text] of before) if (after.get(field) !== text) origins.set(field, name);
  };
  const settings = configMap === null ? undefined : state.view.get('ConfigMap', configMap);
  if (settings !== undefined) {
    for (const key of Object.keys(settings.data)) {
      tryWithout(settings, { ...settings, data: without(settings.data, key) }, `${key} of ConfigMap ${configMap}`);
    }
  }
  for (const { namespace, name } of ingresses) {
    const ingress = state.view.get('Ingress', `${namespace}/${name}`);
    if (ingress === undefined) continue;
    const { annotations } = ingress.metadata;
    for (const annotation of Object.keys(annotations)) {
      if (!prefixes.some((prefix) => annotation.startsWith(prefix))) continue;
      const metadata = { ...ingress.metadata, annotations: without(annotations, annotation) };
      tryWithout(ingress, { ...ingress, metadata }, `${annotation} of Ingress ${namespace}/${name}`);
    }
  }
  return origins;
}

function without(values: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => key !== name));
}

function apply({ view, translator, table }: State, object: AnyObject): void {
  view.put(object);
  const { upserts, deletes } = translator.apply(view, [{ kind: object.kind, key: keyOf(object) }], [], 0);
  changed(table, upserts, deletes);
}

function textsOf(table: Table, rows: readonly RowRef[]): Map<string, string> {
  const texts = new Map<string, string>();
  const backends = rows.filter(({ kind }) => kind === 'backend');
  const routeId = rows.find(({ kind }) => kind === 'route')?.id ?? '';
  for (const ref of rows) {
    const { kind, id } = ref;
    // A backend that is spoken to otherwise is another row, in the same place of the route.
    const inPlace = table.route.get(routeId)?.backends[backends.indexOf(ref)]?.backendId ?? '';
    const row: Row['row'] | undefined = table[kind].get(id) ?? table.backend.get(inPlace);
    for (const [field, text] of row === undefined ? [] : flat(row)) texts.set(`${kind} ${id} ${field}`, text);
  }
  return texts;
}
