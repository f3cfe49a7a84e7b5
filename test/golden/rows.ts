import { Host } from '../../proxy/table/listener.ts';
import { Route } from '../../proxy/table/route.ts';

/** A host row of which a test cares about a few fields only; checked by the contract's own schema. */
export function hostRow(fields: Partial<Host> & { id: string }): Host {
  return Host.parse({
    source: null,
    listenerIds: ['http'],
    hostname: fields.id,
    wildcard: 'one',
    certificateIds: [],
    canFallThrough: false,
    ...fields,
  });
}

/** A route row, likewise. */
export function routeRow(
  fields: Partial<Omit<Route, 'match' | 'precedence'>> & {
    id: string;
    match?: Partial<Route['match']>;
    precedence?: Partial<Route['precedence']>;
  },
): Route {
  return Route.parse({
    source: { kind: 'Ingress', namespace: 'default', name: fields.id },
    hostIds: [],
    filters: [],
    backends: [],
    timeouts: { connectMs: 1000, sendMs: 1000, readMs: 1000, requestMs: null },
    retry: { attempts: 1, on: [], canRepeatUnsafe: false },
    bodyLimit: null,
    ...fields,
    match: { path: { type: 'element', value: '/' }, methods: null, headers: [], query: [], ...fields.match },
    precedence: { priority: 0, order: fields.id, ...fields.precedence },
  });
}
