import { randomInt } from 'node:crypto';
import type { Host } from '#table/listener.ts';
import type { Condition } from './conditions.ts';
import type { CompiledRoute, Match } from './match.ts';
import type { Rule } from './rule.ts';

/** A rule as one host tries it. It is the answer, too, so that a hit allocates nothing and touches little memory. */
export interface Candidate extends Match {
  readonly route: CompiledRoute;
  readonly host: Host;
  readonly rule: Rule;
  readonly condition: Condition | null;
  /** What it is found by. */
  readonly owner: number;
  readonly key: string;
  /** Tried after this one. */
  next: Candidate | null;
}

/** A slot without candidates; no hash is 0. */
const empty = 0;

/**
 * Candidates by owner (a host's exact paths, its prefixes, …) and path, for all hosts together. With 100,000 routes everything
 * that a request touches here comes from memory that no cache holds, 0.1 µs each time: a hash of our own costs two such lines and
 * no string, where a Map costs five, a string that is cut off, and a look into V8's table of all strings.
 */
export class PathIndex {
  #hashes = new Int32Array(64);
  #candidates: (Candidate | null)[] = new Array(64).fill(null);
  #count = 0;

  /** @param hash of the path up to `end` (hashOf). @returns the first candidate for exactly that text */
  find(owner: number, hash: number, path: string, end: number): Candidate | null {
    const mask = this.#hashes.length - 1;
    const mixed = mix(owner, hash);
    for (let slot = mixed & mask; ; slot = (slot + 1) & mask) {
      const found = this.#hashes[slot];
      if (found === empty) return null;
      if (found !== mixed) continue;
      const candidate = this.#candidates[slot] as Candidate;
      if (candidate.owner === owner && isSame(candidate.key, path, end)) return candidate;
    }
  }

  /**
   * @param isBefore the order among candidates of one owner and path
   * @returns whether it is the first of them
   */
  add(candidate: Candidate, isBefore: (a: Candidate, b: Candidate) => boolean): boolean {
    const slot = this.#slotOf(candidate.owner, candidate.key);
    let before = this.#candidates[slot] ?? null;
    if (before === null || isBefore(candidate, before)) {
      candidate.next = before;
      this.#candidates[slot] = candidate;
      if (before !== null) return false;
      this.#hashes[slot] = mix(candidate.owner, hashOf(candidate.key, candidate.key.length));
      if (++this.#count * 2 > this.#hashes.length) this.#grow();
      return true;
    }
    while (before.next !== null && !isBefore(candidate, before.next)) before = before.next;
    candidate.next = before.next;
    before.next = candidate;
    return false;
  }

  /** @returns what is left for that owner and path; null: the rule was not there */
  remove(owner: number, rule: Rule): 'some' | 'nothing' | null {
    const slot = this.#slotOf(owner, rule.key);
    let candidate = this.#candidates[slot] ?? null;
    let before: Candidate | null = null;
    while (candidate !== null && candidate.rule !== rule) {
      before = candidate;
      candidate = candidate.next;
    }
    if (candidate === null) return null;
    if (before !== null) before.next = candidate.next;
    else this.#candidates[slot] = candidate.next;
    if (this.#candidates[slot] !== null) return 'some';
    this.#close(slot);
    return 'nothing';
  }

  /** Where the candidates are, or would be. */
  #slotOf(owner: number, key: string): number {
    const mask = this.#hashes.length - 1;
    const mixed = mix(owner, hashOf(key, key.length));
    let slot = mixed & mask;
    for (; this.#hashes[slot] !== empty; slot = (slot + 1) & mask) {
      const candidate = this.#candidates[slot] as Candidate;
      if (this.#hashes[slot] === mixed && candidate.owner === owner && candidate.key === key) break;
    }
    return slot;
  }

  /** Empties a slot. What stands behind it because it was taken moves up (Knuth, TAOCP 6.4, algorithm R). */
  #close(slot: number): void {
    const hashes = this.#hashes;
    const mask = hashes.length - 1;
    let hole = slot;
    for (let next = (hole + 1) & mask; hashes[next] !== empty; next = (next + 1) & mask) {
      const home = (hashes[next] as number) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      hashes[hole] = hashes[next] as number;
      this.#candidates[hole] = this.#candidates[next] as Candidate;
      hole = next;
    }
    hashes[hole] = empty;
    this.#candidates[hole] = null;
    this.#count--;
  }

  #grow(): void {
    const hashes = this.#hashes;
    const candidates = this.#candidates;
    const size = hashes.length * 2;
    this.#hashes = new Int32Array(size);
    this.#candidates = new Array(size).fill(null);
    for (let from = 0; from < hashes.length; from++) {
      if (hashes[from] === empty) continue;
      let slot = (hashes[from] as number) & (size - 1);
      while (this.#hashes[slot] !== empty) slot = (slot + 1) & (size - 1);
      this.#hashes[slot] = hashes[from] as number;
      this.#candidates[slot] = candidates[from] as Candidate;
    }
  }
}

function isSame(key: string, path: string, end: number): boolean {
  if (key.length !== end) return false;
  for (let i = 0; i < end; i++) if (key.charCodeAt(i) !== path.charCodeAt(i)) return false;
  return true;
}

/**
 * Of no text (FNV-1a). It begins where nobody knows: whoever may write an Ingress could make thousands of paths with one hash, and
 * every host whose paths lie near those in the index would wait for them.
 */
export const noHash = randomInt(2 ** 32) | 0;

/** The hash of a text that is one character longer. */
export function hashFurther(hash: number, code: number): number {
  return Math.imul(hash ^ code, 0x01000193);
}

export function hashOf(text: string, end: number): number {
  let hash = noHash;
  for (let i = 0; i < end; i++) hash = hashFurther(hash, text.charCodeAt(i));
  return hash;
}

function mix(owner: number, hash: number): number {
  const once = Math.imul(hash ^ Math.imul(owner, 0x9e3779b1), 0x85ebca6b);
  const twice = Math.imul(once ^ (once >>> 15), 0xc2b2ae35);
  return twice ^ (twice >>> 16) || 1;
}
