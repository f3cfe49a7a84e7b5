import type { Route } from '#table/route.ts';
import { certainOf, saidBy } from './certain.ts';
import { compareText } from './problems.ts';

/** What paths surely begin with that are taken as regular expressions, in lower case → age of the oldest Ingress. */
export type Patterns = ReadonlyMap<string, string>;

/** @param paths texts of regular expressions, by the age of their Ingress */
export function patternsOf(paths: readonly { text: string; age: string }[]): Patterns {
  const patterns = new Map<string, string>();
  for (const { text, age } of [...paths].sort((a, b) => compareText(a.age, b.age))) {
    const certain = beginningOf(text);
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
  const escaped = text.replace(/[\\^$.|?*+()[\]{}]/g, '\\$&').replace(/[\udc80-\udcff]/gu, byteEscape);
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

/**
 * What paths begin with that an expression matches, in lower case; up to the first character beyond ASCII, for those are folded
 * byte by byte.
 */
export function beginningOf(text: string): string {
  return (/^[\x00-\x7f]*/.exec(certainOf(text))?.[0] ?? '').toLowerCase();
}

/** How a guest's regular expression goes among others: by what it surely says, then as on a host of its own. */
export function guestPrecedence(text: string, order: string): Route['precedence'] {
  return { priority: saidBy(text), order: `${String(9999 - text.length).padStart(4, '0')}|${order}` };
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
  const lowestBelow = new Map<string, Lowest>();
  const sorted = rules
    .map((rule) => ({ ...rule, said: saidBy(rule.text) }))
    .sort((a, b) => b.said - a.said || compareText(a.age, b.age));
  for (const [rank, { route, text, namespace }] of sorted.entries()) {
    const { precedence } = route;
    const certain = beginningOf(text);
    const below = lowestBelow.get(certain);
    const others = (below?.namespace === namespace ? below.others : below?.lowest) ?? Number.POSITIVE_INFINITY;
    const isMoved = namespace !== owner && others <= precedence.priority;
    if (isMoved) {
      const order = `~${String(rank).padStart(6, '0')}|${precedence.order}`;
      moved.set(route, { ...route, precedence: { priority: others, order } });
    }
    const own = isMoved ? others : precedence.priority;
    for (let end = 0; end <= certain.length; end++) noteLowest(lowestBelow, certain.slice(0, end), namespace, own);
  }
  return moved;
}

/** The lowest priority of what begins in one way. */
interface Lowest {
  lowest: number;
  /** Whose it is. */
  namespace: string;
  /** The lowest of all other namespaces. */
  others: number;
}

function noteLowest(lowestBelow: Map<string, Lowest>, beginning: string, namespace: string, priority: number): void {
  const known = lowestBelow.get(beginning);
  if (known === undefined) {
    lowestBelow.set(beginning, { lowest: priority, namespace, others: Number.POSITIVE_INFINITY });
  } else if (known.namespace === namespace) {
    known.lowest = Math.min(known.lowest, priority);
  } else if (priority < known.lowest) {
    known.others = known.lowest;
    known.lowest = priority;
    known.namespace = namespace;
  } else {
    known.others = Math.min(known.others, priority);
  }
}

/** Whether some pattern may match what the text leads to. */
function isBelow(text: string, patterns: Patterns): boolean {
  for (let end = 0; end <= text.length; end++) if (patterns.has(text.slice(0, end))) return true;
  return false;
}

/**
 * The path as the matcher reads it, which decodes that of a rule and merges its slashes; a byte that is no UTF-8 is a lone surrogate.
 * null: no request has the path, or it is another than it seems.
 */
function decoded(path: string): string | null {
  if (path.includes('\\')) return null;
  const text = textOf(path)?.replace(/\/{2,}/g, '/') ?? null;
  return text === null || /\0|[/\\]\.\.?(?:[/\\;]|$)/.test(text) ? null : text;
}

function textOf(path: string): string | null {
  try {
    return decodeURIComponent(path);
  } catch {
    // A broken escape leads nowhere; bytes beyond ASCII may be of another encoding.
    if (/%(?![\da-f]{2})/i.test(path)) return null;
    return path.replace(/%([\da-f]{2})/gi, (_, digits: string) => {
      const byte = Number.parseInt(digits, 16);
      return String.fromCharCode(byte < 0x80 ? byte : 0xdc00 + byte);
    });
  }
}

function byteEscape(surrogate: string): string {
  return `\\x${(surrogate.charCodeAt(0) - 0xdc00).toString(16)}`;
}
