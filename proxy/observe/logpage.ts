import { writeUtf8 } from '../parse/latin1.ts';

/** A page with so much is full. */
export const pageBytes = 64 * 1024;
/** The last line of a page may go beyond. */
const usualBytes = pageBytes + 16 * 1024;
/** Room for any number, which is always there. */
const numberBytes = 64;
/** Below this many characters a loop is faster than a call into the runtime. */
const shortText = 16;
const lineFeed = 0x0a;

/**
 * Lines of JSON as they go to the log, each with its line feed. They are written where they leave from: put together as text,
 * a line costs three times as much, and keeps alive the heads that it quotes. All is ASCII or becomes it.
 */
export class LogPage {
  bytes = Buffer.allocUnsafeSlow(usualBytes);
  /** What is before has left. */
  start = 0;
  /** After the last line. */
  end = 0;

  get isUsual(): boolean {
    return this.bytes.length === usualBytes;
  }

  get isWithinLine(): boolean {
    return this.start > 0 && this.bytes[this.start - 1] !== lineFeed;
  }

  clear(): void {
    this.start = this.end = 0;
  }

  piece(bytes: Uint8Array): void {
    this.#makeRoom(bytes.length);
    this.bytes.set(bytes, this.end);
    this.end += bytes.length;
  }

  /** JSON of a text; null when it is empty. */
  text(value: string): void {
    if (value === '') {
      this.piece(nullPiece);
      return;
    }
    this.#makeRoom(value.length);
    const { bytes } = this;
    const start = this.end + 1;
    bytes[this.end] = quote;
    let end = start + value.length;
    let isOdd = 0;
    if (value.length < shortText) {
      for (let i = start; i < end; i++) {
        const code = value.charCodeAt(i - start);
        bytes[i] = code;
        isOdd |= code > 0x7e ? 1 : (isEscaped[code] as number);
      }
    } else {
      // What is longer than it was is not ASCII.
      end = start + writeUtf8(bytes, value, start);
      if (end - start !== value.length) isOdd = 1;
      for (let i = start; i < end; i++) isOdd |= isEscaped[bytes[i] as number] as number;
    }
    if (isOdd === 0) {
      bytes[end] = quote;
      this.end = end + 1;
      return;
    }
    const json = asciiJson(value);
    this.#makeRoom(json.length);
    this.end += writeUtf8(this.bytes, json, this.end);
  }

  #makeRoom(count: number): void {
    const least = this.end + count + numberBytes;
    if (least <= this.bytes.length) return;
    const more = Buffer.allocUnsafeSlow(least * 2);
    more.set(this.bytes.subarray(0, this.end));
    this.bytes = more;
  }

  /** @param value a whole number, not below 0 */
  whole(value: number): void {
    if (value < 10) {
      this.bytes[this.end++] = zero + value;
      return;
    }
    let end = this.end;
    for (let rest = value; rest >= 1; rest = Math.floor(rest / 10)) end++;
    this.end = end;
    for (let rest = value; rest >= 1; ) {
      const higher = Math.floor(rest / 10);
      this.bytes[--end] = zero + (rest - higher * 10);
      rest = higher;
    }
  }

  /** A number with three decimals. @param thousandths a whole number, not below 0 */
  thousandths(thousandths: number): void {
    const whole = Math.floor(thousandths / 1000);
    this.whole(whole);
    this.bytes[this.end++] = point;
    this.threeDigits(thousandths - whole * 1000);
  }

  /** @param value below 1,000 */
  threeDigits(value: number): void {
    const hundreds = Math.floor(value / 100);
    const tens = Math.floor(value / 10) - hundreds * 10;
    this.bytes[this.end++] = zero + hundreds;
    this.bytes[this.end++] = zero + tens;
    this.bytes[this.end++] = zero + value - hundreds * 100 - tens * 10;
  }

  /** Four of them, the end of a text. @param value below 0x10000 */
  lastHexDigits(value: number): void {
    const { bytes } = this;
    for (let shift = 12; shift >= 0; shift -= 4) bytes[this.end++] = hexDigits[(value >> shift) & 15] as number;
    bytes[this.end++] = quote;
  }

  /** @returns the end of as many whole lines as fit a size; of one at least */
  endOfLines(size: number): number {
    const { start, end, bytes } = this;
    if (end - start <= size) return end;
    const last = bytes.lastIndexOf(lineFeed, start + size - 1);
    return last >= start ? last + 1 : bytes.indexOf(lineFeed, start) + 1;
  }

  /** How many have not left whole. */
  countLines(): number {
    let lines = 0;
    for (let i = this.start; i < this.end; i++) if (this.bytes[i] === lineFeed) lines++;
    return lines;
  }
}

/** What is the same in many lines. */
export function logPiece(ascii: string): Uint8Array {
  return new Uint8Array(Buffer.from(ascii, 'latin1'));
}

/** JSON of a text, null when it is empty, without a character above 0x7e. */
export function asciiJson(value: string): string {
  if (value === '') return 'null';
  return JSON.stringify(value).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

const quote = 0x22;
const zero = 0x30;
const point = 0x2e;
const nullPiece = logPiece('null');
const hexDigits = logPiece('0123456789abcdef');
const isEscaped = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x20 || byte === quote || byte === 0x5c || byte > 0x7e ? 1 : 0,
);
