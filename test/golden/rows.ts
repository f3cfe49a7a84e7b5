import type { Host } from '../../proxy/table/listener.ts';
import type { Route } from '../../proxy/table/route.ts';
import type { RowOf } from '../../proxy/table/rows.ts';
import { row } from '../kit/rows.ts';

/** A host row of which a test cares about a few fields only; its hostname is its id. */
export function hostRow(fields: Partial<Host> & { id: string }): Host {
  return row('host', { hostname: fields.id, ...fields }).row as RowOf<'host'>;
}

/** A route row, likewise; of no host, and without filters and backends. */
export function routeRow(
  fields: Partial<Omit<Route, 'match' | 'precedence'>> & {
    id: string;
    match?: Partial<Route['match']>;
    precedence?: Partial<Route['precedence']>;
  },
): Route {
  const { match, precedence, ...others } = fields;
  return row('route', {
    source: { kind: 'Ingress', namespace: 'default', name: fields.id },
    hostIds: [],
    filters: [],
    backends: [],
    ...others,
    match: { path: { type: 'element', value: '/' }, methods: null, headers: [], query: [], ...match },
    precedence: { priority: 0, order: fields.id, ...precedence },
  }).row as RowOf<'route'>;
}
