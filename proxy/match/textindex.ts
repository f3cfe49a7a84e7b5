import { randomInt } from 'node:crypto';

/** What can be found by a text. */
export interface Indexed<T> {
  /** Whose text it is: several have one index. */
  readonly owner: number;
  /** One byte each character; with any beyond U+00FF it is never found. */
  readonly key: string;
  /** Where the key stands among the texts of the index, and where it ends. The index sets them. */
  keyAt: number;
  keyEnd: number;
  /** The next one of the same owner and key. */
  next: T | null;
}

/** In the place of a hash, where there is no entry; no hash is 0. */
const empty = 0;

/**
 * Things by owner and text: routes by path, and hosts by name. With 100,000 routes everything that a request touches here comes
 * from memory that no cache holds, 0.1 to 0.3 µs each time: a hash of our own costs one such line and no string, where a Map costs
 * three, a string that is cut off, and a look into V8's table of all strings, which alone takes 0.9 µs. A string of its own for each
 * key, somewhere among all that the tables are made of, took 0.9 µs too; those of all in one piece are near each other.
 */
export class TextIndex<T extends Indexed<T>> {
  /** Hash and first entry in turn, so that both are in one line. */
  #slots: (number | T | null)[] = emptySlots(64);
  /** Last place in `#slots`; the number of places is a power of two. */
  #mask = 127;
  #count = 0;
  /** Keys, one after the other. */
  #texts = new Uint8Array(256);
  #textsEnd = 0;
  /** Of entries that are there. */
  #textBytes = 0;
  /** Places of keys that are gone, by length: mostly a route comes back with the key that it had. */
  #freePlaces = new Map<number, number[]>();

  /** @param hash of the text up to `end` (hashOf). @returns the first entry for exactly that part of it */
  find(owner: number, hash: number, text: string, end: number): T | null {
    const slots = this.#slots;
    const mask = this.#mask;
    const mixed = mix(owner, hash);
    for (let at = (mixed << 1) & mask; ; at = (at + 2) & mask) {
      const found = slots[at];
      if (found === empty) return null;
      if (found !== mixed) continue;
      const entry = slots[at + 1] as T;
      if (entry.owner === owner && this.#isKey(entry, text, end)) return entry;
    }
  }

  #isKey({ keyAt, keyEnd }: T, text: string, end: number): boolean {
    if (keyEnd - keyAt !== end) return false;
    const texts = this.#texts;
    for (let i = 0; i < end; i++) if (texts[keyAt + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /**
   * @param isBefore the order among entries of one owner and key
   * @returns whether it is the first of them
   */
  add(entry: T, isBefore: (a: T, b: T) => boolean): boolean {
    this.#keepKey(entry);
    const at = this.#placeOf(entry.owner, entry.key);
    let before = this.#firstAt(at);
    if (before === null || isBefore(entry, before)) {
      entry.next = before;
      this.#slots[at + 1] = entry;
      if (before !== null) return false;
      this.#slots[at] = mix(entry.owner, hashOf(entry.key, entry.key.length));
      if (++this.#count * 4 > this.#slots.length) this.#grow();
      return true;
    }
    while (before.next !== null && !isBefore(entry, before.next)) before = before.next;
    entry.next = before.next;
    before.next = entry;
    return false;
  }

  /** @returns what is left for that owner and key; null: it was not there */
  remove(owner: number, key: string, isIt: (entry: T) => boolean): 'some' | 'nothing' | null {
    const at = this.#placeOf(owner, key);
    let entry = this.#firstAt(at);
    let before: T | null = null;
    while (entry !== null && !isIt(entry)) {
      before = entry;
      entry = entry.next;
    }
    if (entry === null) return null;
    this.#forgetKey(entry);
    if (before !== null) before.next = entry.next;
    else this.#slots[at + 1] = entry.next;
    if (this.#firstAt(at) !== null) return 'some';
    this.#close(at);
    return 'nothing';
  }

  /** Where the entries are, or would be. */
  #placeOf(owner: number, key: string): number {
    const mixed = mix(owner, hashOf(key, key.length));
    let at = (mixed << 1) & this.#mask;
    for (; this.#slots[at] !== empty; at = (at + 2) & this.#mask) {
      const entry = this.#firstAt(at);
      if (this.#slots[at] === mixed && entry?.owner === owner && entry.key === key) break;
    }
    return at;
  }

  #firstAt(at: number): T | null {
    return this.#slots[at + 1] as T | null;
  }

  /** Empties a place. What stands behind it because it was taken moves up (Knuth, TAOCP 6.4, algorithm R). */
  #close(at: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let hole = at;
    for (let next = (hole + 2) & mask; slots[next] !== empty; next = (next + 2) & mask) {
      const home = ((slots[next] as number) << 1) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[hole] = slots[next] as number;
      slots[hole + 1] = this.#firstAt(next);
      hole = next;
    }
    slots[hole] = empty;
    slots[hole + 1] = null;
    this.#count--;
  }

  #keepKey(entry: T): void {
    this.#textBytes += entry.key.length;
    this.#placeKey(entry);
  }

  #placeKey(entry: T): void {
    const { length } = entry.key;
    entry.keyAt = this.#freePlaces.get(length)?.pop() ?? this.#newPlace(length);
    entry.keyEnd = entry.keyAt + length;
    for (let i = 0; i < length; i++) this.#texts[entry.keyAt + i] = entry.key.charCodeAt(i);
  }

  #forgetKey({ key: { length }, keyAt }: T): void {
    this.#textBytes -= length;
    const places = this.#freePlaces.get(length);
    if (places === undefined) this.#freePlaces.set(length, [keyAt]);
    else places.push(keyAt);
  }

  #newPlace(length: number): number {
    const needed = this.#textsEnd + length;
    if (needed > this.#texts.length && this.#textBytes * 4 < needed) this.#gatherTexts();
    if (this.#textsEnd + length > this.#texts.length) {
      const few = this.#texts;
      this.#texts = new Uint8Array((this.#textsEnd + length) * 2);
      this.#texts.set(few);
    }
    const at = this.#textsEnd;
    this.#textsEnd += length;
    return at;
  }

  /** Most of it are places of lengths that are not asked for any more. */
  #gatherTexts(): void {
    this.#textsEnd = 0;
    this.#freePlaces.clear();
    for (let at = 1; at < this.#slots.length; at += 2) {
      for (let entry = this.#firstAt(at - 1); entry !== null; entry = entry.next) this.#placeKey(entry);
    }
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = emptySlots(before.length);
    this.#mask = this.#slots.length - 1;
    for (let from = 0; from < before.length; from += 2) {
      if (before[from] === empty) continue;
      let at = ((before[from] as number) << 1) & this.#mask;
      while (this.#slots[at] !== empty) at = (at + 2) & this.#mask;
      this.#slots[at] = before[from] as number;
      this.#slots[at + 1] = before[from + 1] as T;
    }
  }
}

function emptySlots(count: number): (number | null)[] {
  const slots = new Array<number | null>(count * 2).fill(null);
  for (let at = 0; at < slots.length; at += 2) slots[at] = empty;
  return slots;
}

/** Of no text. */
export const noHash = randomInt(2 ** 32) | 0;

/**
 * As FNV-1a, with a number that nobody knows in the place of its prime: whoever may write an Ingress could make thousands of names or
 * paths with one hash, and everybody whose own lie near those in the index would wait for them. To begin where nobody knows is not
 * enough: letters change the low seven bits alone, so that texts which meet do so for one beginning of 128.
 */
const step = randomInt(2 ** 32) | 1;

/** The hash of a text that is one character longer. */
export function hashFurther(hash: number, code: number): number {
  return Math.imul(hash ^ code, step);
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
