import { copyOf } from '../parse/latin1.ts';
import { type FieldName, fieldNameOf } from './fieldname.ts';
import { encodeHuffman, huffmanLength } from './huffman.ts';
import { mostStaticIndex, staticIndexByLine } from './statictable.ts';
import { entryOverhead } from './tableentry.ts';

/** More is not used, whatever the peer would take: what repeats at all fits. */
const mostTableBytes = 4_096;
const ringLength = mostTableBytes / entryOverhead;
/** Longer lines would push out too much of what repeats. */
const mostIndexedBytes = 512;
/** Marks of lines that were seen once; a power of two. */
const seenLength = 64;

/** Encodes field blocks (RFC 7541). One per connection: its dynamic table is the peer's decoder's. */
export class Encoder {
  /** Lines in the table, as they stood in the head: how many were put in before each. */
  readonly #added = new Map<string, number>();
  /** The same lines in the order in which they leave; made with the first. */
  #ring: string[] | null = null;
  /** Hashes of lines that were seen once: what comes twice enters the table, what differs each time never does. */
  readonly #seen = new Int32Array(seenLength);
  #insertions = 0;
  #count = 0;
  #bytes = 0;
  #capacity = mostTableBytes;
  /** The smallest capacity since the last block, -1 when it did not change (RFC 7541 §4.2). */
  #lowest = -1;

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. */
  resize(bytes: number): void {
    const capacity = Math.min(bytes, mostTableBytes);
    if (capacity === this.#capacity) return;
    this.#lowest = this.#lowest === -1 ? capacity : Math.min(this.#lowest, capacity);
    this.#capacity = capacity;
    this.#evict(capacity);
  }

  /** Begins a block. @returns the offset after what it writes, which is at most 8 bytes */
  begin(target: Buffer, at: number): number {
    if (this.#lowest === -1) return at;
    let to = at;
    if (this.#lowest < this.#capacity) to = writeInteger(target, to, 0x20, 5, this.#lowest);
    this.#lowest = -1;
    return writeInteger(target, to, 0x20, 5, this.#capacity);
  }

  /** Writes `:status`. */
  status(target: Buffer, at: number, status: number): number {
    const index = statusIndices[status];
    if (index !== undefined) {
      target[at] = 0x80 | index;
      return at + 1;
    }
    return this.field(target, at, `:status: ${status}`, 7);
  }

  /** Writes lines `name: value` CRLF, as they stand in a head of HTTP/1.1, names in any case. */
  lines(target: Buffer, at: number, lines: string): number {
    let to = at;
    let start = 0;
    while (start < lines.length) {
      const end = lines.indexOf('\r', start);
      to = this.field(target, to, lines.slice(start, end), -1);
      start = end + 2;
    }
    return to;
  }

  /**
   * Writes one field. It takes at most the line's length and 10 bytes.
   * @param line `name: value`
   * @param nameEnd -1: where the first colon is
   */
  field(target: Buffer, at: number, line: string, nameEnd: number): number {
    const insertion = this.#added.get(line);
    if (insertion !== undefined) {
      return writeInteger(target, at, 0x80, 7, mostStaticIndex + this.#insertions - insertion);
    }
    const colon = nameEnd === -1 ? line.indexOf(':') : nameEnd;
    const name = fieldNameOf(line.slice(0, colon));
    if (name.isConnectionSpecific) return at;
    const value = line.slice(colon + 2);
    if (name.isSecret) return writeLiteral(target, at, 0x10, 4, name, value);
    const known = staticIndexByLine.get(line);
    if (known !== undefined) return writeInteger(target, at, 0x80, 7, known);
    if (!this.#isRepeated(line)) return writeLiteral(target, at, 0, 4, name, value);
    this.#add(line);
    return writeLiteral(target, at, 0x40, 6, name, value);
  }

  /** @returns whether the line was seen lately; from now on it was */
  #isRepeated(line: string): boolean {
    if (line.length > mostIndexedBytes || line.length + entryOverhead > this.#capacity) return false;
    let hash = line.length;
    for (let i = 0; i < line.length; i++) hash = (Math.imul(hash, 31) + line.charCodeAt(i)) | 0;
    const slot = (hash ^ (hash >>> 15)) & (seenLength - 1);
    if (this.#seen[slot] === hash) return true;
    this.#seen[slot] = hash;
    return false;
  }

  #add(line: string): void {
    const size = line.length - 2 + entryOverhead;
    this.#evict(this.#capacity - size);
    this.#ring ??= new Array<string>(ringLength);
    const copy = copyOf(line);
    this.#ring[this.#insertions & (ringLength - 1)] = copy;
    this.#added.set(copy, this.#insertions++);
    this.#count++;
    this.#bytes += size;
  }

  #evict(bytes: number): void {
    while (this.#count > 0 && this.#bytes > bytes) {
      const oldest = (this.#ring as string[])[(this.#insertions - this.#count) & (ringLength - 1)] as string;
      this.#added.delete(oldest);
      this.#count--;
      this.#bytes -= oldest.length - 2 + entryOverhead;
    }
  }
}

const statusIndices: readonly (number | undefined)[] = (() => {
  const indices: (number | undefined)[] = [];
  for (const [line, index] of staticIndexByLine)
    if (line.startsWith(':status: ')) indices[Number(line.slice(9))] = index;
  return indices;
})();

function writeLiteral(
  target: Buffer,
  at: number,
  pattern: number,
  prefixBits: number,
  name: FieldName,
  value: string,
): number {
  const to = writeInteger(target, at, pattern, prefixBits, name.index);
  return writeString(target, name.index === 0 ? writeString(target, to, name.lower) : to, value);
}

function writeString(target: Buffer, at: number, text: string): number {
  const length = text.length;
  const coded = huffmanLength(text);
  if (coded < length) return encodeHuffman(text, target, writeInteger(target, at, 0x80, 7, coded));
  const to = writeInteger(target, at, 0, 7, length);
  for (let i = 0; i < length; i++) target[to + i] = text.charCodeAt(i);
  return to + length;
}

function writeInteger(target: Buffer, at: number, pattern: number, prefixBits: number, value: number): number {
  const most = (1 << prefixBits) - 1;
  if (value < most) {
    target[at] = pattern | value;
    return at + 1;
  }
  target[at] = pattern | most;
  let left = value - most;
  let to = at + 1;
  while (left >= 0x80) {
    target[to++] = 0x80 | (left & 0x7f);
    left >>>= 7;
  }
  target[to] = left;
  return to + 1;
}
