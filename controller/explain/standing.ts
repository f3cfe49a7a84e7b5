import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { RequestFacts } from '../../proxy/match/facts.ts';
import { Matcher } from '../../proxy/match/matcher.ts';
import { normaliseRulePath } from '../../proxy/match/normalise.ts';

/** Why a route of a host is not the one that takes a request: which of its conditions fails, asked one by one of the matcher. */
export function standingOf(route: Route, host: Host, facts: RequestFacts, winner: Route | null): string {
  const accepts = (match: Partial<Route['match']>): boolean => {
    const matcher = new Matcher();
    const row = { ...route, match: { ...pathOf(route), ...match } };
    matcher.apply({ hosts: new Map([[host.id, host]]), routes: new Map([[row.id, row]]) });
    return matcher.match(host.listenerIds[0] ?? '', facts).route !== null;
  };
  const { path, methods, headers, query } = route.match;
  if (!accepts({})) return `its path ${path.value} (${path.type}) does not cover ${facts.path}`;
  const failed = [
    ...(accepts({ methods }) ? [] : [`the method is not ${methods?.join(' or ')}`]),
    ...headers
      .filter((header) => !accepts({ headers: [header] }))
      .map(({ name, value }) => `header ${name} is not ${value}`),
    ...query
      .filter((part) => !accepts({ query: [part] }))
      .map(({ name, value }) => `parameter ${name} is not ${value}`),
  ];
  if (failed.length > 0) return failed.join(', ');
  return winner === null ? 'it would take it' : `it accepts, too, and comes later: ${firstBecause(winner, route)}`;
}

function pathOf({ match }: Route): Route['match'] {
  return { path: match.path, methods: null, headers: [], query: [] };
}

/** The order among routes that accept, as a sentence (proxy/match/hosttable.ts decides it). */
function firstBecause(winner: Route, other: Route): string {
  if (!winner.hostIds.some((id) => other.hostIds.includes(id))) return 'a narrower host goes first';
  const kinds = ['exact', 'regex', 'element', 'prefix'];
  const [one, two] = [winner.match.path, other.match.path];
  const isPlaced = [one, two].some((path) => path.type === 'regex' && path.place !== null);
  if (isPlaced && one.type !== 'exact' && lengthOf(winner) !== lengthOf(other))
    return 'what surely says more goes first';
  if (isPlaced && one.type !== 'exact' && one.type !== two.type)
    return 'a prefix goes before a pattern that says as much';
  if (one.type !== two.type && [one.type, two.type].some((type) => type === 'exact' || type === 'regex')) {
    const first = kinds.indexOf(one.type) < kinds.indexOf(two.type) ? one.type : two.type;
    return first === 'exact' ? 'an exact path goes first' : 'a pattern goes before prefixes';
  }
  if (one.type === 'regex' && winner.precedence.priority !== other.precedence.priority) {
    return 'its pattern has the lower priority';
  }
  if (one.type !== 'regex' && lengthOf(winner) !== lengthOf(other)) return 'a longer path goes first';
  if (one.type !== two.type) return 'a prefix by elements goes before one by characters';
  if (asksOf(winner) !== asksOf(other)) return 'a route that asks for more goes first';
  if (winner.precedence.priority !== other.precedence.priority) return 'it has the lower priority';
  return 'the older object goes first';
}

function lengthOf({ match }: Route): number {
  if (match.path.type === 'regex') return match.path.place ?? Number.POSITIVE_INFINITY;
  return normaliseRulePath(match.path.value).replace(/\/$/, '').length;
}

function asksOf({ match }: Route): string {
  return `${match.methods !== null} ${match.headers.length} ${match.query.length}`;
}
