import { latin1 } from '../parse/latin1.ts';
import { fieldIdOf, isFieldValue, isPseudoValue, malformedName, pseudoIdOf, pseudoIds } from './fieldrules.ts';

/** What each entry of a table counts beside its bytes (RFC 7541 §4.1). */
export const entryOverhead = 32;

/** One field of a table. It is looked at when it enters, so that a reference to it costs a copy and nothing else. */
export class TableEntry {
  /** The line `name: value` CRLF. */
  readonly line: Buffer;
  readonly nameLength: number;
  readonly valueLength: number;
  /** nameIds of a field, or malformedName. */
  readonly id: number;
  readonly pseudo: number;
  readonly isMalformed: boolean;
  /** Value of a pseudo-header field; '' of others. */
  readonly text: string;

  /** A copy of the line that `bytes[start, end)` holds. */
  constructor(bytes: Buffer, start: number, end: number, nameLength: number) {
    // Not out of Buffer's pool: an entry lives as long as its connection and would keep a slab of 64 KiB alive.
    const line = Buffer.allocUnsafeSlow(end - start);
    bytes.copy(line, 0, start, end);
    const valueStart = nameLength + 2;
    const valueEnd = line.length - 2;
    this.line = line;
    this.nameLength = nameLength;
    this.valueLength = valueEnd - valueStart;
    this.pseudo = pseudoIdOf(line, 0, nameLength);
    if (this.pseudo === pseudoIds.none) {
      this.id = fieldIdOf(line, 0, nameLength);
      this.isMalformed = this.id === malformedName || !isFieldValue(this.id, line, valueStart, valueEnd);
      this.text = '';
    } else {
      this.id = 0;
      this.isMalformed = !isPseudoValue(this.pseudo, line, valueStart, valueEnd);
      this.text = latin1(line, valueStart, valueEnd);
    }
  }

  /** As RFC 7541 §4.1 counts it. */
  get size(): number {
    return this.nameLength + this.valueLength + entryOverhead;
  }
}
