import type { Source } from '#table/problem.ts';
import type { Row, RowRef, Table } from '#table/rows.ts';
import { prefixes } from '../annotations/registry.ts';
import type { AnyObject, ObjectOf } from '../watch/objects.ts';
import { keyOf, type ObjectKey } from '../watch/view.ts';
import { flat } from './flat.ts';
import { changed, type State } from './state.ts';

/** What sets a field of a row, by `<kind> <id> <field>`: an annotation of an Ingress, or a key of the ConfigMap. */
export type Origins = ReadonlyMap<string, string>;

/**
 * What sets the fields of rows. No list says which annotation leads to which field: each is left out once, and what then
 * differs in the rows is its doing; those of Ingresses without which nothing differs are not tried one by one.
 *
 * @param ingresses whose annotations are tried, that of the route first
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
    for (const field of differing([object], [without])) origins.set(field, name);
  };
  const differing = (objects: readonly AnyObject[], others: readonly AnyObject[]): string[] => {
    apply(state, others);
    const after = textsOf(state.table, rows);
    apply(state, objects);
    return [...before].flatMap(([field, text]) => (after.get(field) === text ? [] : field));
  };
  const settings = configMap === null ? undefined : state.view.get('ConfigMap', configMap);
  if (settings !== undefined) {
    for (const key of Object.keys(settings.data)) {
      tryWithout(settings, { ...settings, data: without(settings.data, key) }, `${key} of ConfigMap ${configMap}`);
    }
  }
  const tryEach = (ingress: Ingress) => {
    const { annotations, namespace, name } = ingress.metadata;
    for (const annotation of Object.keys(annotations).filter(isRead)) {
      const bare = withAnnotations(ingress, without(annotations, annotation));
      tryWithout(ingress, bare, `${annotation} of Ingress ${namespace}/${name}`);
    }
  };
  /** Of the thousands that a host may have, most set nothing of this: all of those are found together, by halves. */
  const tryHalves = (some: readonly Ingress[]) => {
    const [one] = some;
    const bare = some.map((ingress) => withAnnotations(ingress, unread(ingress)));
    if (one === undefined || differing(some, bare).length === 0) return;
    if (some.length === 1) return tryEach(one);
    const middle = Math.ceil(some.length / 2);
    tryHalves(some.slice(0, middle));
    tryHalves(some.slice(middle));
  };
  const found = ingresses.flatMap(({ namespace, name }) => state.view.get('Ingress', `${namespace}/${name}`) ?? []);
  const [own, ...others] = found;
  if (own !== undefined) tryEach(own);
  tryHalves(others.filter(({ metadata }) => Object.keys(metadata.annotations).some(isRead)));
  return origins;
}

function without(values: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([key]) => key !== name));
}

type Ingress = ObjectOf<'Ingress'>;

function isRead(annotation: string): boolean {
  return prefixes.some((prefix) => annotation.startsWith(prefix));
}

function unread({ metadata }: Ingress): Record<string, string> {
  return Object.fromEntries(Object.entries(metadata.annotations).filter(([name]) => !isRead(name)));
}

function withAnnotations(ingress: Ingress, annotations: Record<string, string>): Ingress {
  return { ...ingress, metadata: { ...ingress.metadata, annotations } };
}

function apply({ view, translator, table }: State, objects: readonly AnyObject[]): void {
  for (const object of objects) view.put(object);
  const changes = objects.map((object) => ({ kind: object.kind, key: keyOf(object) }));
  const { upserts, deletes } = translator.apply(view, changes, [], 0);
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
