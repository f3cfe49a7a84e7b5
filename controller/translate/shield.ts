import type { Route } from '#table/route.ts';
import { certainOf } from './certain.ts';
import { compareText } from './problems.ts';

/** What paths surely begin with that are taken as regular expressions, in lower case → age of the oldest Ingress. */
export type Patterns = ReadonlyMap<string, string>;

/** @param paths texts of regular expressions, by the age of their Ingress */
export function patternsOf(paths: readonly { text: string; age: string }[]): Patterns {
  const patterns = new Map<string, string>();
  for (const { text, age } of [...paths].sort((a, b) => compareText(a.age, b.age))) {
    const certain = certainOf(text).toLowerCase();
    if (!patterns.has(certain)) patterns.set(certain, age);
  }
  return patterns;
}

/**
 * The matcher tries all regular expressions of a host before all prefixes. So that those of a guest take nothing that somebody
 * else's path says more of, that path becomes a regular expression, too: one that means the same, and goes before by its length.
 * @param route of an element or a prefix
 * @returns the same route where none of the patterns can come before it
 */
export function shielded(route: Route, patterns: Patterns): Route {
  const { path } = route.match;
  const text = decoded(path.value);
  if (text === null || !isBelow(text.toLowerCase(), patterns)) return route;
  const escaped = text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&');
  const value = path.type === 'element' && text !== '/' ? `${escaped}(?:/|$)` : escaped;
  // The proxy takes none that is longer.
  if (value.length > 512) return route;
  const { order } = route.precedence;
  const older = patterns.get(text.toLowerCase());
  const isFirst = older === undefined || compareText(order, older) < 0;
  return {
    ...route,
    match: { ...route.match, path: { type: 'regex', value, ignoreCase: false } },
    // Those of guests begin with digits.
    precedence: { priority: text.length, order: `${isFirst ? '!' : '~'}${order}` },
  };
}

/** How a guest's regular expression goes among others: by what is certain of it, then as on a host of its own. */
export function guestPrecedence(text: string, order: string): Route['precedence'] {
  return { priority: certainOf(text).length, order: `${String(9999 - text.length).padStart(4, '0')}|${order}` };
}

/** A rule of a host on which every path is a regular expression. */
export interface RegexRule {
  route: Route;
  text: string;
  age: string;
  namespace: string;
}

/**
 * On a host whose owner wants regular expressions the longer text goes first, and a text is easily made longer. So a guest's goes
 * after what others say as much of a path by, or more: it is put down to the place of theirs.
 * @param owner namespace of the host; nothing of it is moved
 * @returns routes in the place of those that are moved
 */
export function yielding(rules: readonly RegexRule[], owner: string): ReadonlyMap<Route, Route> {
  const moved = new Map<Route, Route>();
  /** Beginning of paths → namespace → lowest priority of what it has there or below. */
  const lowestBelow = new Map<string, Map<string, number>>();
  const sorted = rules
    .map((rule) => ({ ...rule, certain: certainOf(rule.text).toLowerCase() }))
    .sort((a, b) => b.certain.length - a.certain.length || compareText(a.age, b.age));
  for (const [rank, { route, certain, namespace }] of sorted.entries()) {
    const { precedence } = route;
    const others = [...(lowestBelow.get(certain) ?? [])].filter(([name]) => name !== namespace);
    const priority = Math.min(precedence.priority, ...others.map(([, lowest]) => lowest));
    if (namespace !== owner && others.some(([, lowest]) => lowest === priority)) {
      const order = `~${String(rank).padStart(6, '0')}|${precedence.order}`;
      moved.set(route, { ...route, precedence: { priority, order } });
    }
    const own = moved.get(route)?.precedence.priority ?? precedence.priority;
    for (let end = 0; end <= certain.length; end++) {
      const beginning = certain.slice(0, end);
      const byNamespace = lowestBelow.get(beginning) ?? new Map<string, number>();
      lowestBelow.set(beginning, byNamespace.set(namespace, Math.min(own, byNamespace.get(namespace) ?? own)));
    }
  }
  return moved;
}

/** Whether some pattern may match what the text leads to. */
function isBelow(text: string, patterns: Patterns): boolean {
  for (let end = 0; end <= text.length; end++) if (patterns.has(text.slice(0, end))) return true;
  return false;
}

/** The path as the matcher reads it, which decodes that of a rule and merges its slashes. null: what it is matched by is not text. */
function decoded(path: string): string | null {
  try {
    const text = decodeURIComponent(path).replace(/\/{2,}/g, '/');
    return /[\\\0]|\/\.\.?(?:\/|$)/.test(text) ? null : text;
  } catch {
    return null;
  }
}
