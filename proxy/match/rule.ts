import type { Route } from '#table/route.ts';
import { compileFilters } from '../filters/compile.ts';
import { type Condition, compileConditions } from './conditions.ts';
import type { CompiledRoute, WeightedBackend } from './match.ts';
import { normaliseRulePath } from './normalise.ts';
import { type CompiledRegex, compileRegex } from './regex.ts';
import { weigh } from './weighted.ts';

/** A route row, compiled once, whatever the number of hosts that use it. */
export interface Rule {
  readonly route: CompiledRoute;
  readonly kind: 'exact' | 'element' | 'prefix' | 'regex';
  /** What an exact path or a prefix is looked up by: bytes, normalised, an element prefix without trailing slash. */
  readonly key: string;
  readonly regex: CompiledRegex | null;
  /** Of a regex, among the prefixes; null: before them. */
  readonly place: number | null;
  readonly condition: Condition | null;
}

type RouteNumbers = Pick<CompiledRoute, 'index' | 'serial'>;

/** @returns null when a pattern of the row does not compile: the route is left out, and its neighbours work */
export function compileRule(row: Route, numbers: RouteNumbers): Rule | null {
  const { path } = row.match;
  const regex =
    path.type === 'regex'
      ? compileRegex(path.value, { case: path.ignoreCase ? 'ignore' : 'exact', anchor: 'start' })
      : null;
  const condition = compileConditions(row.match);
  if (condition === 'never' || (path.type === 'regex' && !regex)) return null;
  const place = path.type === 'regex' ? path.place : null;
  return { route: compileRoute(row, numbers), kind: path.type, key: keyOf(row), regex, place, condition };
}

function keyOf(row: Route): string {
  const { path } = row.match;
  if (path.type === 'regex') return '';
  const key = normaliseRulePath(path.value);
  return path.type === 'element' && key.endsWith('/') ? key.slice(0, -1) : key;
}

function compileRoute(row: Route, { index, serial }: RouteNumbers): CompiledRoute {
  const { id, timeouts, bodyLimit } = row;
  return {
    row,
    id,
    timeouts: shared(timeoutsByContent, JSON.stringify(timeouts), () => timeouts),
    bodyLimit,
    index,
    serial,
    filters: compileFilters(row.filters, row.match),
    backends: compileBackends(row),
  };
}

function compileBackends({ backends, match }: Route): readonly WeightedBackend[] {
  const compile = () =>
    weigh(backends, ({ backendId, filters }) => ({ backendId, filters: compileFilters(filters, match) }));
  // Filters may be about the path of the route.
  if (backends.some(({ filters }) => filters.length > 0)) return compile();
  return shared(backendsByContent, JSON.stringify(backends), compile);
}

/** What most routes have alike is one object, which the processor's cache holds. Forgotten now and then, so that it cannot grow. */
const timeoutsByContent = new Map<string, Route['timeouts']>();
const backendsByContent = new Map<string, readonly WeightedBackend[]>();
const mostShared = 4096;

function shared<T>(byContent: Map<string, T>, content: string, make: () => T): T {
  const known = byContent.get(content);
  if (known !== undefined) return known;
  if (byContent.size >= mostShared) byContent.clear();
  const made = make();
  byContent.set(content, made);
  return made;
}
