import { latin1 } from '../parse/latin1.ts';
import { fieldIdOf, isFieldValue, isPseudoValue, malformedName, pseudoIdOf, pseudoIds } from './fieldrules.ts';
import { decodeHuffman } from './huffman.ts';
import type { FieldSection } from './section.ts';
import { mostStaticIndex, staticEntries } from './statictable.ts';
import { entryOverhead, TableEntry, tableBytes } from './tableentry.ts';

/** As many entries as fit, and a power of two. */
const ringLength = tableBytes / entryOverhead;
const ringBytes = 8 * ringLength;
/** The object of one, beside its bytes. */
const entryBytes = 64;
const nothing = Buffer.alloc(0);

/** Decodes field blocks (RFC 7541). One per connection: its dynamic table is the peer's encoder's. */
export class Decoder {
  /** Made with the first entry: most idle connections have none. */
  #ring: (TableEntry | null)[] | null = null;
  /** The lines of the entries, one behind the other: a buffer for each takes four times as much as most of them. */
  #room = nothing;
  #roomUsed = 0;
  /** Entries ever added; the newest is at this minus one. */
  #added = 0;
  #count = 0;
  #bytes = 0;
  #capacity = tableBytes;
  // The integer or string that was read last: a second result of the functions below.
  #at = 0;

  /** Bytes of the table, and of what it is made of. */
  get heldBytes(): number {
    return this.#ring === null ? 0 : ringBytes + this.#room.length + this.#bytes + this.#count * entryBytes;
  }

  /**
   * Decodes a whole block into the section.
   * @param block not longer than mostAnswerBlockBytes
   * @returns false when it is broken: nothing on this connection can be understood any more (RFC 7541 §5.3)
   */
  decode(block: Buffer, start: number, end: number, section: FieldSection): boolean {
    let hasField = false;
    let at = start;
    while (at < end) {
      const byte = block[at] as number;
      if ((byte & 0xe0) === 0x20) {
        // Only before the first field (RFC 7541 §4.2).
        if (hasField || !this.#resize(this.#integer(block, at, end, 5))) return false;
        at = this.#at;
        continue;
      }
      hasField = true;
      if (byte >= 0x80) {
        const index = byte === 0xff ? this.#integer(block, at, end, 7) : byte & 0x7f;
        at = byte === 0xff ? this.#at : at + 1;
        const entry = this.#entry(index);
        if (entry === null) return false;
        section.addEntry(entry);
      } else {
        at = this.#literal(block, at, end, section, (byte & 0x40) !== 0);
        if (at === -1) return false;
      }
    }
    return true;
  }

  /** @returns the offset after it, or -1 */
  #literal(block: Buffer, at: number, end: number, section: FieldSection, isAdded: boolean): number {
    const index = this.#integer(block, at, end, isAdded ? 6 : 4);
    if (index === -1) return -1;
    const { bytes, at: start } = section;
    let nameEnd: number;
    let named: TableEntry | null = null;
    if (index === 0) {
      nameEnd = this.#string(block, this.#at, end, bytes, start);
      if (nameEnd === -1) return -1;
    } else {
      named = this.#entry(index);
      if (named === null) return -1;
      nameEnd = start + named.nameLength;
      named.bytes.copy(bytes, start, named.start, named.start + named.nameLength);
    }
    bytes[nameEnd] = 0x3a;
    bytes[nameEnd + 1] = 0x20;
    const valueStart = nameEnd + 2;
    const valueEnd = this.#string(block, this.#at, end, bytes, valueStart);
    if (valueEnd === -1) return -1;
    bytes[valueEnd] = 0x0d;
    bytes[valueEnd + 1] = 0x0a;
    if (isAdded) {
      const entry = new TableEntry(bytes, start, valueEnd + 2, nameEnd - start);
      section.addEntry(entry);
      this.#add(entry);
    } else {
      addUnindexed(section, named, start, nameEnd, valueEnd);
    }
    return this.#at;
  }

  /** Reads a string literal (RFC 7541 §5.2) into `target`. @returns the offset after its last byte there, or -1 */
  #string(block: Buffer, at: number, end: number, target: Buffer, to: number): number {
    if (at >= end) return -1;
    const isHuffman = ((block[at] as number) & 0x80) !== 0;
    const length = this.#integer(block, at, end, 7);
    const start = this.#at;
    if (length === -1 || length > end - start) return -1;
    this.#at = start + length;
    if (isHuffman) return decodeHuffman(block, start, start + length, target, to);
    if (length > 32) block.copy(target, to, start, start + length);
    else for (let i = 0; i < length; i++) target[to + i] = block[start + i] as number;
    return to + length;
  }

  /** Reads an integer (RFC 7541 §5.1) below 2^28. @returns -1 when it is longer or cut */
  #integer(block: Buffer, at: number, end: number, prefixBits: number): number {
    const most = (1 << prefixBits) - 1;
    let value = (block[at] as number) & most;
    let i = at + 1;
    if (value === most) {
      for (let shift = 0; ; shift += 7) {
        if (i >= end || shift > 21) return -1;
        const byte = block[i++] as number;
        value += (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
    }
    this.#at = i;
    return value;
  }

  #entry(index: number): TableEntry | null {
    if (index <= mostStaticIndex) return index < 0 ? null : (staticEntries[index] as TableEntry | null);
    const age = index - mostStaticIndex;
    if (age > this.#count) return null;
    return this.#aged(age);
  }

  #add(entry: TableEntry): void {
    this.#evict(this.#capacity - entry.size);
    // An entry larger than the table empties it and is no error (RFC 7541 §4.4).
    if (entry.size > this.#capacity) return;
    this.#takeLine(entry);
    this.#ring ??= new Array<TableEntry | null>(ringLength).fill(null);
    this.#ring[this.#added++ & (ringLength - 1)] = entry;
    this.#count++;
    this.#bytes += entry.size;
  }

  /** Copies it behind the others; those that have left the table make room. */
  #takeLine(entry: TableEntry): void {
    const { length } = entry;
    if (this.#roomUsed + length > this.#room.length) this.#makeRoom(length);
    entry.bytes.copy(this.#room, this.#roomUsed, entry.start, entry.start + length);
    entry.bytes = this.#room;
    entry.start = this.#roomUsed;
    this.#roomUsed += length;
  }

  #makeRoom(bytes: number): void {
    const from = this.#count === 0 ? this.#roomUsed : this.#aged(this.#count).start;
    const used = this.#roomUsed - from;
    // Twice as much as is needed, so that lines are moved once in a while only.
    const isLarge = this.#room.length >= 2 * (used + bytes);
    // Not out of Buffer's pool: it lives as long as its connection and would keep a slab of 64 KiB alive.
    const room = isLarge ? this.#room : Buffer.allocUnsafeSlow(2 * (used + bytes));
    this.#room.copy(room, 0, from, this.#roomUsed);
    for (let age = this.#count; age > 0; age--) {
      const entry = this.#aged(age);
      entry.bytes = room;
      entry.start -= from;
    }
    this.#room = room;
    this.#roomUsed = used;
  }

  /** The entry that was added so many entries ago; the newest is 1. */
  #aged(age: number): TableEntry {
    return (this.#ring as TableEntry[])[(this.#added - age) & (ringLength - 1)] as TableEntry;
  }

  #resize(capacity: number): boolean {
    if (capacity < 0 || capacity > tableBytes) return false;
    this.#capacity = capacity;
    this.#evict(capacity);
    return true;
  }

  #evict(bytes: number): void {
    while (this.#count > 0 && this.#bytes > bytes) {
      this.#bytes -= this.#aged(this.#count).size;
      // It may keep a text of its own alive.
      (this.#ring as (TableEntry | null)[])[(this.#added - this.#count) & (ringLength - 1)] = null;
      this.#count--;
    }
  }
}

/** A literal that enters no table is looked at where it lies. */
function addUnindexed(
  section: FieldSection,
  named: TableEntry | null,
  start: number,
  nameEnd: number,
  valueEnd: number,
): void {
  const { bytes } = section;
  const valueStart = nameEnd + 2;
  const pseudo = named === null ? pseudoIdOf(bytes, start, nameEnd) : named.pseudo;
  if (pseudo !== pseudoIds.none) {
    const isGood = isPseudoValue(pseudo, bytes, valueStart, valueEnd);
    const text = isGood ? latin1(bytes, valueStart, valueEnd) : '';
    section.addPseudo(pseudo, text, valueEnd - start - 2, !isGood);
    return;
  }
  const id = named === null ? fieldIdOf(bytes, start, nameEnd) : named.id;
  const isGood = id !== malformedName && isFieldValue(id, bytes, valueStart, valueEnd);
  section.addLine(id, nameEnd - start, valueEnd - valueStart, !isGood);
}
