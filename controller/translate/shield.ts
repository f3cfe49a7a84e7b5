import type { Route } from '#table/route.ts';
import { certainOf, saidBy } from './certain.ts';
import type { Claims } from './claims.ts';
import { compareText } from './problems.ts';

/**
 * What paths begin with that an expression matches, in lower case; up to the first character beyond ASCII, for those are folded
 * byte by byte.
 */
function beginningOf(text: string): string {
  return (/^[\x00-\x7f]*/.exec(certainOf(text))?.[0] ?? '').toLowerCase();
}

/**
 * Where a guest's regular expression goes among the prefixes of a host, so that it takes nothing that somebody else's path says as
 * much of, or more: the matcher would try it before all of them. A slash at its end says no more than the element before it; with
 * dots before its end it goes after a prefix with a slash that is as long.
 */
export function placeOf(text: string): number {
  const said = saidBy(text);
  return subjectOf(text)?.endsWith('/') === false ? said : Math.max(0, said - 1);
}

/** The path that says of a request just what an expression surely does; null: none does. */
export function subjectOf(text: string): string | null {
  const certain = certainOf(text);
  return saidBy(text) === Buffer.byteLength(certain) ? certain : null;
}

/** The path that an expression matches with all that begins so, where it is written in one of the usual ways; null: none for sure. */
export function wholeOf(text: string): string | null {
  const path = text.replace(/(?:\(\/\|\$\)\(\.\*\)|\(\/\|\$\)|\/\?\(\.\*\)|\/\?|\(\.\*\)|\.\*)$/, '');
  return subjectOf(path) === path ? path : null;
}

/**
 * The route of a guest's expression, before the path that says as much, with a slash or without, where that is younger: a prefix
 * with a slash is longer by one, and comes after the expressions of its length (hosttable.ts).
 */
export function placed({ route, text, age }: RegexRule, claims: Claims): Route {
  const { path } = route.match;
  const since = claims.ofElement(subjectOf(text) ?? '')?.age;
  if (path.type !== 'regex' || since === undefined || since < age) return route;
  return { ...route, match: { ...route.match, path: { ...path, place: placeOf(text) + 1 } } };
}

/**
 * How a guest's regular expression goes among others: by what it surely says, then by whose are older, then as on a host of its own.
 * @param since age of the Ingress for which those of its namespace are expressions
 */
export function guestPrecedence(text: string, since: string, order: string): Route['precedence'] {
  return { priority: placeOf(text), order: `${since}|${String(9999 - text.length).padStart(4, '0')}|${order}` };
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
export function yielding(rules: readonly RegexRule[], owner: string): Map<Route, Route> {
  const moved = new Map<Route, Route>();
  const sorted = rules
    .map((rule) => ({
      ...rule,
      // A guest's slash says no more than the element before it, as in placeOf.
      said: rule.namespace !== owner && subjectOf(rule.text) !== '/' ? placeOf(rule.text) : saidBy(rule.text),
      certain: beginningOf(rule.text),
    }))
    .sort((a, b) => b.said - a.said || compareText(a.age, b.age));
  const lowestBelow = new Map<string, Lowest>();
  for (const { certain, namespace } of sorted) {
    if (namespace !== owner) lowestBelow.set(certain, { lowest: endless, namespace: '', others: endless });
  }
  const ends = [...new Set([...lowestBelow.keys()].map(({ length }) => length))];
  for (const { route, age, namespace, said, certain } of sorted) {
    const { precedence } = route;
    const below = lowestBelow.get(certain);
    const others = (below?.namespace === namespace ? below.others : below?.lowest) ?? endless;
    const isMoved = namespace !== owner && others <= precedence.priority;
    if (isMoved) {
      // Not by its rank: that changes with every other.
      const order = `~${String(9999 - said).padStart(4, '0')}|${age}|${precedence.order}`;
      moved.set(route, { ...route, precedence: { priority: others, order } });
    }
    const own = isMoved ? others : precedence.priority;
    for (const end of ends) {
      const known = end > certain.length ? undefined : lowestBelow.get(certain.slice(0, end));
      if (known !== undefined) noteLowest(known, namespace, own);
    }
    // Of "/foo/" so does "/foo", too: they are one path.
    const twin = certain === '' || certain.endsWith('/') ? undefined : lowestBelow.get(`${certain}/`);
    if (twin !== undefined) noteLowest(twin, namespace, own);
  }
  return moved;
}

const endless = Number.POSITIVE_INFINITY;

/** The lowest priority of what begins as some guest's does. */
interface Lowest {
  lowest: number;
  /** Whose it is. */
  namespace: string;
  /** The lowest of all other namespaces. */
  others: number;
}

function noteLowest(known: Lowest, namespace: string, priority: number): void {
  if (known.namespace === namespace) {
    known.lowest = Math.min(known.lowest, priority);
  } else if (priority < known.lowest) {
    known.others = known.lowest;
    known.lowest = priority;
    known.namespace = namespace;
  } else {
    known.others = Math.min(known.others, priority);
  }
}
