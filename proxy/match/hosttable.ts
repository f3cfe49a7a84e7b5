import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { Condition } from './conditions.ts';
import type { RequestFacts } from './facts.ts';
import type { CompiledRoute, Match } from './match.ts';
import type { Rule } from './rule.ts';
import { hashFurther, hashOf, type Indexed, noHash, type TextIndex } from './textindex.ts';

/** A rule as one host tries it. It is the answer and its route, too, so that a hit allocates nothing and touches little memory. */
export interface Candidate extends Match, CompiledRoute, Indexed<Candidate> {
  readonly condition: Condition | null;
  /** This object. */
  route: CompiledRoute;
  readonly host: Host;
  readonly rule: Rule;
}

/** Owners of a host in the index: its number times `kinds`, and these. */
const kinds = 4;
const kindPlaces = { exact: 0, element: 1, prefix: 2 } as const;

/**
 * The routes of one host. Tried in this order: exact path; regexes by priority; prefixes from longest to shortest, an
 * element prefix before a string prefix of the same length, a trailing slash of an element not counted. (nginx tries
 * regexes before prefixes, too; the Gateway API leaves their place open.) A regex with a place comes before the string prefixes of
 * that length and after the elements. Among equals the order is `compareRoutes`.
 */
export class HostTable {
  // What every request needs comes first, in one line of memory.
  readonly #owner: number;
  /** Paths in the index, by kind. Keys of elements are without trailing slash; '' covers everything. */
  #exact = 0;
  #element = 0;
  /** Regexes with a place among them included. */
  #prefix = 0;
  /** Those before all prefixes, in order. */
  #regexes: readonly Candidate[] = none;
  readonly #index: TextIndex<Candidate>;
  host: Host;
  /** Answer when this host covers the name and no route accepts. */
  miss: Match;
  /** Distinct lengths of the string prefixes, and places of regexes, longest first. Few, however many routes there are. */
  #prefixLengths: readonly number[] = none;
  /** How many of both have each of these; null: none was there yet, as of most hosts. A map weighs 400 bytes, empty as it is. */
  #prefixesByLength: Map<number, number> | null = null;
  /** Regexes among the prefixes, in order; null: none was there yet. */
  #regexesByPlace: Map<number, readonly Candidate[]> | null = null;

  /**
   * @param index of all hosts
   * @param number no other host of the index has it
   */
  constructor(host: Host, index: TextIndex<Candidate>, number: number) {
    this.#owner = number * kinds;
    this.#index = index;
    this.host = host;
    this.miss = { route: null, host };
  }

  /** Adds a rule that is not in this table. */
  add(rule: Rule): void {
    const { kind, key, place } = rule;
    const candidate = candidateOf(rule, this.host, kind === 'regex' ? this.#owner : this.#owner + kindPlaces[kind]);
    if (kind === 'regex') {
      this.#setRegexes(place, inserted(this.#regexesAt(place), candidate));
      if (place !== null) this.#count('prefix', place, 1);
      return;
    }
    if (!this.#index.add(candidate, isBefore)) return;
    this.#count(kind, key.length, 1);
  }

  /** Takes out a rule that was added. @returns whether it was there */
  remove(rule: Rule): boolean {
    const { kind, key, place } = rule;
    if (kind === 'regex') {
      const before = this.#regexesAt(place);
      const left = before.filter((candidate) => candidate.rule !== rule);
      if (left.length === before.length) return false;
      this.#setRegexes(place, left);
      if (place !== null) this.#count('prefix', place, -1);
      return true;
    }
    const left = this.#index.remove(this.#owner + kindPlaces[kind], key, (candidate) => candidate.rule === rule);
    if (left === 'nothing') this.#count(kind, key.length, -1);
    return left !== null;
  }

  #regexesAt(place: number | null): readonly Candidate[] {
    return place === null ? this.#regexes : (this.#regexesByPlace?.get(place) ?? none);
  }

  #setRegexes(place: number | null, regexes: readonly Candidate[]): void {
    if (place === null) {
      this.#regexes = regexes;
      return;
    }
    this.#regexesByPlace ??= new Map();
    if (regexes.length === 0) this.#regexesByPlace.delete(place);
    else this.#regexesByPlace.set(place, regexes);
  }

  /** @returns the match of the first route that accepts, or null */
  find(facts: RequestFacts): Match | null {
    const { path } = facts;
    const hash = this.#exact + this.#element === 0 ? noHash : hashPath(path);
    if (this.#exact > 0) {
      const found = firstOf(this.#index.find(this.#owner + kindPlaces.exact, hash, path, path.length), facts);
      if (found) return found;
    }
    const found = firstRegexOf(this.#regexes, facts, path);
    if (found) return found;
    if (this.#prefix > 0) return this.#findPrefix(facts, path);
    return this.#element === 0 ? null : this.#findElement(facts, path);
  }

  #findElement(facts: RequestFacts, path: string): Match | null {
    // No key ends with a slash.
    for (let at = path.endsWith('/') ? endCount - 2 : endCount - 1; at >= 0; at--) {
      const found = this.#elementOf(facts, path, at);
      if (found) return found;
    }
    return null;
  }

  /** @param at place in `ends` */
  #elementOf(facts: RequestFacts, path: string, at: number): Match | null {
    const owner = this.#owner + kindPlaces.element;
    return firstOf(this.#index.find(owner, hashes[at] as number, path, ends[at] as number), facts);
  }

  /** As #findElement, with the string prefixes, and regexes, between the element prefixes by length. */
  #findPrefix(facts: RequestFacts, path: string): Match | null {
    let longest = 0;
    for (let at = this.#element === 0 ? -1 : endCount - 1; at >= 0; at--) {
      const end = ends[at] as number;
      for (; longest < this.#prefixLengths.length && (this.#prefixLengths[longest] as number) > end; longest++) {
        const found = this.#findPrefixOf(this.#prefixLengths[longest] as number, facts, path);
        if (found) return found;
      }
      const found = this.#elementOf(facts, path, at);
      if (found) return found;
    }
    for (; longest < this.#prefixLengths.length; longest++) {
      const found = this.#findPrefixOf(this.#prefixLengths[longest] as number, facts, path);
      if (found) return found;
    }
    return null;
  }

  #findPrefixOf(length: number, facts: RequestFacts, path: string): Match | null {
    const found = firstRegexOf(this.#regexesByPlace?.get(length) ?? none, facts, path);
    if (found !== null || length > path.length) return found;
    return firstOf(this.#index.find(this.#owner + kindPlaces.prefix, hashOf(path, length), path, length), facts);
  }

  #count(kind: keyof typeof kindPlaces, length: number, by: 1 | -1): void {
    if (kind === 'exact') this.#exact += by;
    else if (kind === 'element') this.#element += by;
    else {
      this.#prefix += by;
      this.#countPrefix(length, by);
    }
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

const none: readonly never[] = [];

/**
 * What every request needs of it comes first, and all of it is in one object: with a spread, V8 would keep what comes after that
 * beside it.
 */
function candidateOf(rule: Rule, host: Host, owner: number): Candidate {
  const { route, condition } = rule;
  const candidate: Candidate = {
    owner,
    keyAt: 0,
    keyEnd: 0,
    condition,
    route,
    host,
    filters: route.filters,
    timeouts: route.timeouts,
    bodyLimit: route.bodyLimit,
    backends: route.backends,
    index: route.index,
    serial: route.serial,
    id: route.id,
    next: null,
    key: rule.key,
    rule,
    row: route.row,
  };
  candidate.route = candidate;
  return candidate;
}

/** Where the elements of the last path end, the whole of it last, and the hashes of what is before. */
let ends = new Int32Array(64);
let hashes = new Int32Array(64);
let endCount = 0;

/** Sets `ends` and `hashes`: each character is looked at once, however many elements there are. @returns the hash of the whole path */
function hashPath(path: string): number {
  let hash = noHash;
  endCount = 0;
  for (let i = 0; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code === 0x2f) endAt(i, hash);
    hash = hashFurther(hash, code);
  }
  endAt(path.length, hash);
  return hash;
}

function endAt(end: number, hash: number): void {
  if (endCount === ends.length) makeRoom();
  ends[endCount] = end;
  hashes[endCount++] = hash;
}

function makeRoom(): void {
  const [fewEnds, fewHashes] = [ends, hashes];
  ends = new Int32Array(fewEnds.length * 2);
  hashes = new Int32Array(fewHashes.length * 2);
  ends.set(fewEnds);
  hashes.set(fewHashes);
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

function isBefore(a: Candidate, b: Candidate): boolean {
  return compareRoutes(a.route.row, b.route.row) < 0;
}

function firstOf(first: Candidate | null, facts: RequestFacts): Match | null {
  for (let candidate = first; candidate !== null; candidate = candidate.next) {
    if (candidate.condition === null || candidate.condition(facts)) return candidate;
  }
  return null;
}

function firstRegexOf(regexes: readonly Candidate[], facts: RequestFacts, path: string): Match | null {
  for (const candidate of regexes) {
    const { regex } = candidate.rule;
    if (regex?.test(path) && (candidate.condition === null || candidate.condition(facts))) return candidate;
  }
  return null;
}

function inserted(candidates: readonly Candidate[], candidate: Candidate): Candidate[] {
  const { row } = candidate.route;
  let low = 0;
  let high = candidates.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareRoutes((candidates[middle] as Candidate).route.row, row) < 0) low = middle + 1;
    else high = middle;
  }
  return candidates.toSpliced(low, 0, candidate);
}
