import { isValueByte, nameClass } from './chars.ts';
import { latin1 } from './latin1.ts';
import { nameIdOf, unusualIdOf } from './names.ts';

/** More fields than this fit in no head; Limits cannot allow more. */
const mostFields = 250;

/** A head could not be parsed yet: more bytes are needed. */
export const needsMore = 0;

/** Why a field section was refused. Negative, so that they cannot be taken for offsets. */
export const badSyntax = -1;
export const tooManyFields = -2;

/**
 * Where the parts of one head are. Names and values are not copied: `text` is the whole head as one latin1 string
 * (byte n of the head is character n), and everything else is offsets into it. Reused for the next head.
 */
export class Head {
  text = '';
  count = 0;
  /** Id of each field's name (names.ts). */
  readonly ids: Uint8Array;
  readonly nameStarts: Int32Array;
  readonly nameEnds: Int32Array;
  readonly valueStarts: Int32Array;
  readonly valueEnds: Int32Array;
  /** The head whose fields are in these arrays, where they began, and how many they are; '': none that may come again. */
  #before = '';
  #sectionStart = 0;
  #sectionCount = 0;
  /** Sections in a row that were not the one before. */
  #misses = 0;

  /** @param room fields that it can hold: 17 bytes each */
  constructor(room: number = mostFields) {
    this.ids = new Uint8Array(room);
    this.nameStarts = new Int32Array(room);
    this.nameEnds = new Int32Array(room);
    this.valueStarts = new Int32Array(room);
    this.valueEnds = new Int32Array(room);
  }

  /** It can take any head that comes. */
  get isRoomy(): boolean {
    return this.ids.length === mostFields;
  }

  /** A copy that has no room for more, for those who keep a head for long. */
  compact(): Head {
    const { count } = this;
    const copy = new Head(count);
    copy.text = this.text;
    copy.count = count;
    copy.ids.set(this.ids.subarray(0, count));
    copy.nameStarts.set(this.nameStarts.subarray(0, count));
    copy.nameEnds.set(this.nameEnds.subarray(0, count));
    copy.valueStarts.set(this.valueStarts.subarray(0, count));
    copy.valueEnds.set(this.valueEnds.subarray(0, count));
    return copy;
  }

  /** What is in the arrays will be of something else. */
  forget(): void {
    this.#before = '';
  }

  /** Keeps in mind what was read, should it come again. @param start of the section in `text` */
  remember(start: number): void {
    // Where no section is like the one before, hardly any is looked at.
    const isHopeful = this.#misses < 32 || (++this.#misses & 1023) < 32;
    if (this.text.length > longestRepeated || !isHopeful) return;
    this.#before = this.text;
    this.#sectionStart = start;
    this.#sectionCount = this.count;
  }

  /**
   * Whether a head's section is the one that was read last: then this head is set.
   *
   * @param at offset of the section in `bytes`, `base` that of the head; `end` and `limit` as parseFields has them
   * @returns the offset after it; -1: it is another one
   */
  repeat(bytes: Buffer, base: number, at: number, end: number, limit: number): number {
    const before = this.#before;
    const start = at - base;
    const after = base + before.length + start - this.#sectionStart;
    if (before === '' || after > end || after - base > longestRepeated || this.#sectionCount > limit) return -1;
    const text = latin1(bytes, base, after);
    // Whole heads are compared in a third of the time that parts of them take.
    if (text !== before && text.slice(start) !== before.slice(this.#sectionStart)) {
      this.#misses++;
      return -1;
    }
    this.#misses = 0;
    this.text = text;
    this.count = this.#sectionCount;
    this.#before = text;
    this.#move(start - this.#sectionStart);
    return after;
  }

  #move(by: number): void {
    if (by === 0) return;
    this.#sectionStart += by;
    for (let field = 0; field < this.count; field++) {
      this.nameStarts[field] = (this.nameStarts[field] as number) + by;
      this.nameEnds[field] = (this.nameEnds[field] as number) + by;
      this.valueStarts[field] = (this.valueStarts[field] as number) + by;
      this.valueEnds[field] = (this.valueEnds[field] as number) + by;
    }
  }

  name(field: number): string {
    return this.text.slice(this.nameStarts[field], this.nameEnds[field]);
  }

  value(field: number): string {
    return this.text.slice(this.valueStarts[field], this.valueEnds[field]);
  }

  /** @returns the first field with that id, or -1 */
  find(id: number): number {
    for (let field = 0; field < this.count; field++) if (this.ids[field] === id) return field;
    return -1;
  }

  /** @returns values of all fields with that id joined by `, `; '' without any */
  joined(id: number): string {
    const first = this.find(id);
    if (first === -1) return '';
    let joined = this.value(first);
    for (let field = first + 1; field < this.count; field++)
      if (this.ids[field] === id) joined += `, ${this.value(field)}`;
    return joined;
  }

  /** @param name lower case. @returns values of all such fields joined by `, `; undefined without any */
  get(name: string): string | undefined {
    let joined: string | undefined;
    for (let field = 0; field < this.count; field++) {
      if (!this.#isNamed(field, name)) continue;
      const value = this.value(field);
      // RFC 6265 §5.4 has one Cookie field; should there be two, `; ` is the separator that keeps the pairs apart.
      joined = joined === undefined ? value : joined + (name === 'cookie' ? '; ' : ', ') + value;
    }
    return joined;
  }

  #isNamed(field: number, name: string): boolean {
    const start = this.nameStarts[field] as number;
    if ((this.nameEnds[field] as number) - start !== name.length) return false;
    for (let i = 0; i < name.length; i++) {
      const wanted = name.charCodeAt(i);
      const code = this.text.charCodeAt(start + i);
      if (code !== wanted && (code + 0x20 !== wanted || wanted < 0x61 || wanted > 0x7a)) return false;
    }
    return true;
  }

  /** @returns whether line `field` is exactly `name: value` CRLF, so that its bytes may be emitted as they are */
  isCanonical(field: number): boolean {
    const nameEnd = this.nameEnds[field] as number;
    const valueEnd = this.valueEnds[field] as number;
    return (
      this.valueStarts[field] === nameEnd + 2 &&
      this.text.charCodeAt(nameEnd + 1) === 0x20 &&
      this.text.charCodeAt(valueEnd) === 0x0d
    );
  }
}

/** The trailer section of a body that has none. */
export const noTrailers: Head = new Head();

/** Heads that wait for their next request are many. */
const longestRepeated = 2048;

/**
 * The rest of a head, as parseFields reads it, and its text. Clients and backends repeat themselves: a section that is byte for byte
 * the one that was read into this head last is not read again.
 */
export function readSection(head: Head, bytes: Buffer, base: number, at: number, end: number, limit: number): number {
  const repeated = head.repeat(bytes, base, at, end, limit);
  if (repeated > 0) return repeated;
  const after = parseFields(head, bytes, base, at, end, limit);
  if (after > 0) {
    head.text = latin1(bytes, base, after);
    head.remember(at - base);
  }
  return after;
}

/**
 * Field lines up to and including the empty line (RFC 9112 §5), strictly: token names, no space before the colon,
 * no folding, CRLF only, no control bytes in values. Trailers have the same grammar.
 *
 * @param at offset in `bytes` of the first field line; `base` that of the head's first byte
 * @returns the offset after the empty line, needsMore, or a negative refusal
 */
export function parseFields(
  head: Head,
  bytes: Uint8Array,
  base: number,
  at: number,
  end: number,
  limit: number,
): number {
  head.forget();
  let i = at;
  let count = 0;
  for (;;) {
    if (i >= end) return needsMore;
    let byte = bytes[i] as number;
    if (byte === 0x0d) {
      if (i + 1 >= end) return needsMore;
      if (bytes[i + 1] !== 0x0a) return badSyntax;
      head.count = count;
      return i + 2;
    }
    if (count >= limit) return tooManyFields;
    const nameStart = i;
    let seen = 0;
    for (;;) {
      const kind = nameClass[byte] as number;
      if (kind === 0) break;
      seen |= kind;
      if (++i >= end) return needsMore;
      byte = bytes[i] as number;
    }
    if (byte !== 0x3a || i === nameStart) return badSyntax;
    const nameEnd = i++;
    while (i < end && (bytes[i] === 0x20 || bytes[i] === 0x09)) i++;
    const valueStart = i;
    while (i < end && isValueByte[bytes[i] as number] === 1) i++;
    if (i + 1 >= end) return i < end && bytes[i] !== 0x0d ? badSyntax : needsMore;
    if (bytes[i] !== 0x0d || bytes[i + 1] !== 0x0a) return badSyntax;
    let valueEnd = i;
    while (valueEnd > valueStart && (bytes[valueEnd - 1] === 0x20 || bytes[valueEnd - 1] === 0x09)) valueEnd--;
    i += 2;
    head.ids[count] = seen === 1 ? nameIdOf(bytes, nameStart, nameEnd) : unusualIdOf(seen);
    head.nameStarts[count] = nameStart - base;
    head.nameEnds[count] = nameEnd - base;
    head.valueStarts[count] = valueStart - base;
    head.valueEnds[count] = valueEnd - base;
    count++;
  }
}
