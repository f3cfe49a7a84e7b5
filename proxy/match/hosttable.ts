import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { RequestFacts } from './facts.ts';
import type { Match } from './match.ts';
import type { Rule } from './rule.ts';

/** A rule as one host tries it. `match` is the answer, made beforehand so that a hit allocates nothing. */
interface Candidate {
  readonly rule: Rule;
  readonly match: Match;
}

type Bucket = Candidate[];

/**
 * The routes of one host. Tried in this order: exact path; regexes by priority; prefixes from longest to shortest, an
 * element prefix before a string prefix of the same length, a trailing slash of an element not counted. (nginx tries
 * regexes before prefixes, too; the Gateway API leaves their place open.) Within a bucket the order is `compareRoutes`.
 */
export class HostTable {
  host: Host;
  /** Answer when this host covers the name and no route accepts. */
  miss: Match;
  /** null: there are none, as of most hosts; a map weighs 400 bytes, empty as it is. So below. */
  #exact: Map<string, Bucket> | null = null;
  /** Keys without trailing slash; '' covers everything. */
  readonly #elements = new Map<string, Bucket>();
  #prefixes: Map<string, Bucket> | null = null;
  /** Distinct lengths of the string prefixes, longest first. Few, however many routes there are. */
  #prefixLengths: number[] = [];
  /** How many string prefixes have each of these lengths. */
  #prefixesByLength: Map<number, number> | null = null;
  readonly #regexes: Bucket = [];

  constructor(host: Host) {
    this.host = host;
    this.miss = { route: null, host };
  }

  /** Adds a rule that is not in this table. */
  add(rule: Rule): void {
    const candidate: Candidate = { rule, match: { route: rule.route, host: this.host } };
    if (rule.kind === 'regex') {
      insert(this.#regexes, candidate);
      return;
    }
    const map = this.#mapFor(rule.kind);
    const bucket = map.get(rule.key);
    if (bucket) {
      insert(bucket, candidate);
      return;
    }
    map.set(rule.key, [candidate]);
    if (rule.kind === 'prefix') this.#countPrefix(rule.key.length, 1);
  }

  /** Takes out a rule that was added. */
  remove(rule: Rule): void {
    if (rule.kind === 'regex') {
      drop(this.#regexes, rule);
      return;
    }
    const map = this.#mapFor(rule.kind);
    const bucket = map.get(rule.key);
    if (!bucket) return;
    drop(bucket, rule);
    if (bucket.length > 0) return;
    map.delete(rule.key);
    if (rule.kind === 'exact' && map.size === 0) this.#exact = null;
    if (rule.kind === 'prefix') this.#countPrefix(rule.key.length, -1);
  }

  /** @returns the match of the first route that accepts, or null */
  find(facts: RequestFacts): Match | null {
    const { path } = facts;
    // A text that is not a key yet costs V8 a look into its table of all strings, even where the map is empty.
    const exact = this.#exact?.get(path);
    if (exact) {
      const found = firstOf(exact, facts);
      if (found) return found;
    }
    for (const { rule, match } of this.#regexes) {
      if (rule.regex?.test(path) && (rule.condition === null || rule.condition(facts))) return match;
    }
    return this.#prefixLengths.length === 0 ? this.#findElement(facts, path) : this.#findPrefix(facts, path);
  }

  #findElement(facts: RequestFacts, path: string): Match | null {
    if (this.#elements.size === 0) return null;
    // No key ends with a slash.
    const longest = path.endsWith('/') ? path.length - 1 : path.length;
    for (let end = longest; end >= 0; end = end === 0 ? -1 : path.lastIndexOf('/', end - 1)) {
      const bucket = this.#elements.get(end === path.length ? path : path.slice(0, end));
      const found = bucket && firstOf(bucket, facts);
      if (found) return found;
    }
    return null;
  }

  /** As #findElement, with the string prefixes between the element prefixes by length. */
  #findPrefix(facts: RequestFacts, path: string): Match | null {
    let at = 0;
    for (let end = path.length; end >= 0; end = end === 0 ? -1 : path.lastIndexOf('/', end - 1)) {
      for (; at < this.#prefixLengths.length && (this.#prefixLengths[at] as number) > end; at++) {
        const found = this.#findPrefixOf(this.#prefixLengths[at] as number, facts, path);
        if (found) return found;
      }
      const bucket = this.#elements.get(path.slice(0, end));
      const found = bucket && firstOf(bucket, facts);
      if (found) return found;
    }
    for (; at < this.#prefixLengths.length; at++) {
      const found = this.#findPrefixOf(this.#prefixLengths[at] as number, facts, path);
      if (found) return found;
    }
    return null;
  }

  #findPrefixOf(length: number, facts: RequestFacts, path: string): Match | null {
    if (length > path.length) return null;
    const bucket = this.#prefixes?.get(path.slice(0, length));
    return bucket ? firstOf(bucket, facts) : null;
  }

  #mapFor(kind: 'exact' | 'element' | 'prefix'): Map<string, Bucket> {
    if (kind === 'element') return this.#elements;
    if (kind === 'exact') {
      this.#exact ??= new Map();
      return this.#exact;
    }
    this.#prefixes ??= new Map();
    return this.#prefixes;
  }

  #countPrefix(length: number, by: 1 | -1): void {
    this.#prefixesByLength ??= new Map();
    const before = this.#prefixesByLength.get(length) ?? 0;
    if (before + by === 0) this.#prefixesByLength.delete(length);
    else this.#prefixesByLength.set(length, before + by);
    if (before + by > 0 && before > 0) return;
    this.#prefixLengths = [...this.#prefixesByLength.keys()].sort((a, b) => b - a);
  }
}

/**
 * Order among routes that are equally specific by path (Gateway API HTTPRoute): method, number of headers, number of query
 * parameters, then the row's own precedence. Regexes have no length that says how specific they are, so their priority
 * comes first.
 */
function compareRoutes(a: Route, b: Route): number {
  const byPriority = b.precedence.priority - a.precedence.priority;
  if (a.match.path.type === 'regex' && byPriority !== 0) return byPriority;
  return (
    Number(b.match.methods !== null) - Number(a.match.methods !== null) ||
    b.match.headers.length - a.match.headers.length ||
    b.match.query.length - a.match.query.length ||
    byPriority ||
    compareText(a.precedence.order, b.precedence.order) ||
    compareText(a.id, b.id)
  );
}

const compareText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function firstOf(bucket: Bucket, facts: RequestFacts): Match | null {
  for (const { rule, match } of bucket) {
    if (rule.condition === null || rule.condition(facts)) return match;
  }
  return null;
}

function insert(bucket: Bucket, candidate: Candidate): void {
  const { row } = candidate.rule.route;
  let low = 0;
  let high = bucket.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRoutes((bucket[middle] as Candidate).rule.route.row, row) < 0) low = middle + 1;
    else high = middle;
  }
  bucket.splice(low, 0, candidate);
}

function drop(bucket: Bucket, rule: Rule): void {
  const at = bucket.findIndex((candidate) => candidate.rule === rule);
  if (at >= 0) bucket.splice(at, 1);
}
