import { latin1 } from '../parse/latin1.ts';
import { fieldIdOf, isFieldValue, isPseudoValue, malformedName, pseudoIdOf, pseudoIds } from './fieldrules.ts';

/** What each entry of a table counts beside its bytes (RFC 7541 §4.1). */
export const entryOverhead = 32;
/** Of a decoder: SETTINGS_HEADER_TABLE_SIZE is left alone (RFC 9113 §6.5.2). */
export const tableBytes = 4_096;

/** One field of a table. It is looked at when it enters, so that a reference to it costs a copy and nothing else. */
export class TableEntry {
  /** Where the line `name: value` CRLF lies; who has the entry in a table may move it. */
  bytes: Buffer;
  start: number;
  readonly nameLength: number;
  readonly valueLength: number;
  /** nameIds of a field, or malformedName. */
  readonly id: number;
  readonly pseudo: number;
  readonly isMalformed: boolean;
  /** Value of a pseudo-header field; '' of others. */
  readonly text: string;

  /** Of the line that `bytes[start, end)` holds. */
  constructor(bytes: Buffer, start: number, end: number, nameLength: number) {
    const nameEnd = start + nameLength;
    const valueStart = nameEnd + 2;
    const valueEnd = end - 2;
    this.bytes = bytes;
    this.start = start;
    this.nameLength = nameLength;
    this.valueLength = valueEnd - valueStart;
    this.pseudo = pseudoIdOf(bytes, start, nameEnd);
    if (this.pseudo === pseudoIds.none) {
      this.id = fieldIdOf(bytes, start, nameEnd);
      this.isMalformed = this.id === malformedName || !isFieldValue(this.id, bytes, valueStart, valueEnd);
      this.text = '';
    } else {
      this.id = 0;
      this.isMalformed = !isPseudoValue(this.pseudo, bytes, valueStart, valueEnd);
      this.text = latin1(bytes, valueStart, valueEnd);
    }
  }

  /** Of the line, in bytes. */
  get length(): number {
    return this.nameLength + this.valueLength + 4;
  }

  /** As RFC 7541 §4.1 counts it. */
  get size(): number {
    return this.nameLength + this.valueLength + entryOverhead;
  }
}
