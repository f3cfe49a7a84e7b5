import { hexValue, nameClass } from './chars.ts';
import { Head, noTrailers, parseFields } from './head.ts';
import { latin1 } from './latin1.ts';
import { joined, unpooled } from './unpooled.ts';

/** Bytes of chunk extensions in a whole body; nobody uses them, and without a bound they are free amplification. */
const mostExtensionBytes = 4_096;
/** Bytes of a trailer section. */
const mostTrailerBytes = 8_192;
const mostTrailerFields = 32;
/** A size line has at most this many digits, leading zeros included, so that it cannot overflow. */
const mostSizeDigits = 12;

const sizeStart = 0;
const size = 1;
const extension = 2;
const sizeLf = 3;
const data = 4;
const dataCr = 5;
const dataLf = 6;
const trailer = 7;
const done = 8;

/**
 * Reads a chunked body (RFC 9112 §7.1) strictly: plain hex sizes, CRLF everywhere, well-formed and bounded extensions,
 * which are dropped. The payload of what is fed is moved together inside the buffer that was fed, so that one read leads
 * to one write however many chunks it holds: 50,000 one-byte chunks must not become 50,000 system calls.
 */
export class ChunkedReader {
  /** Where the last feed left its payload, in the buffer that was fed. */
  payloadStart = 0;
  payloadEnd = 0;
  #trailers = noTrailers;
  #state = sizeStart;
  #left = 0;
  #digits = 0;
  #extensionBytes = 0;
  #extensionState = 0;
  /** Trailer bytes that came in an earlier read. */
  #trailerBytes: Buffer | null = null;

  get isDone(): boolean {
    return this.#state === done;
  }

  get heldBytes(): number {
    return this.#trailerBytes?.length ?? 0;
  }

  restart(): void {
    this.#state = sizeStart;
    this.#extensionBytes = 0;
    this.#trailerBytes = null;
    this.#trailers = noTrailers;
  }

  /** Trailer fields, once isDone: the caller's, for connections that wait for their next message are many. */
  takeTrailers(): Head {
    const trailers = this.#trailers;
    this.#trailers = noTrailers;
    return trailers;
  }

  /**
   * @param buffer is changed: payload is compacted in place
   * @returns the offset after what belongs to this body (`end`, or less when the body is complete), or -1 when malformed
   */
  feed(buffer: Buffer, start: number, end: number): number {
    let i = start;
    this.payloadStart = this.payloadEnd = start;
    while (i < end) {
      const byte = buffer[i] as number;
      switch (this.#state) {
        case sizeStart:
          if (hexValue[byte] === -1) return -1;
          this.#left = hexValue[byte] as number;
          this.#digits = 1;
          this.#state = size;
          i++;
          break;
        case size:
          if (hexValue[byte] !== -1) {
            if (++this.#digits > mostSizeDigits) return -1;
            this.#left = this.#left * 16 + (hexValue[byte] as number);
          } else if (byte === 0x0d) {
            this.#state = sizeLf;
          } else if (byte === 0x3b) {
            this.#state = extension;
            this.#extensionState = afterSemicolon;
          } else {
            return -1;
          }
          i++;
          break;
        case extension:
          i = this.#takeExtension(buffer, i, end);
          if (i === -1) return -1;
          break;
        case sizeLf:
          if (byte !== 0x0a) return -1;
          this.#state = this.#left === 0 ? trailer : data;
          i++;
          break;
        case data:
          i = this.#takeData(buffer, i, end);
          break;
        case dataCr:
          if (byte !== 0x0d) return -1;
          this.#state = dataLf;
          i++;
          break;
        case dataLf:
          if (byte !== 0x0a) return -1;
          this.#state = sizeStart;
          i++;
          break;
        case trailer:
          return this.#takeTrailer(buffer, i, end);
        default:
          return i;
      }
    }
    return i;
  }

  #takeExtension(buffer: Buffer, start: number, end: number): number {
    const last = Math.min(end, start + mostExtensionBytes - this.#extensionBytes);
    let state = this.#extensionState;
    let i = start;
    while (i < last && state !== extensionDone && state !== badExtension)
      state = nextExtensionState(state, buffer[i++] as number);
    this.#extensionBytes += i - start;
    this.#extensionState = state;
    if (state === extensionDone) this.#state = sizeLf;
    else if (state === badExtension || i < end) return -1;
    return i;
  }

  #takeData(buffer: Buffer, start: number, end: number): number {
    const length = Math.min(this.#left, end - start);
    if (this.payloadEnd === this.payloadStart) this.payloadStart = this.payloadEnd = start;
    else buffer.copyWithin(this.payloadEnd, start, start + length);
    this.payloadEnd += length;
    this.#left -= length;
    if (this.#left === 0) this.#state = dataCr;
    return start + length;
  }

  #takeTrailer(buffer: Buffer, start: number, end: number): number {
    const earlier = this.#trailerBytes;
    const bytes = earlier === null ? buffer : joined(earlier, buffer, start, end);
    const from = earlier === null ? start : 0;
    const to = earlier === null ? end : bytes.length;
    const after = parseFields(fields, bytes, from, from, Math.min(to, from + mostTrailerBytes), mostTrailerFields);
    if (after < 0) return -1;
    if (after === 0) {
      if (to - from >= mostTrailerBytes) return -1;
      this.#trailerBytes = earlier === null ? unpooled(buffer, start, end) : bytes;
      return end;
    }
    if (fields.count > 0) {
      this.#trailers = fields.compact();
      this.#trailers.text = latin1(bytes, from, after);
    }
    this.#trailerBytes = null;
    this.#state = done;
    return end - (to - after);
  }
}

/** Read within one call: one serves all. */
const fields = new Head(mostTrailerFields);

// Grammar of one or more `;name`, `;name=token`, `;name="quoted"`, ended by CR. White space is obsolete and refused.
const afterSemicolon = 0;
const inName = 1;
const afterEquals = 2;
const inToken = 3;
const inQuotes = 4;
const inEscape = 5;
const afterQuotes = 6;
const extensionDone = 7;
const badExtension = 8;

function nextExtensionState(state: number, byte: number): number {
  const isToken = nameClass[byte] !== 0;
  switch (state) {
    case afterSemicolon:
      return isToken ? inName : badExtension;
    case inName:
      if (byte === 0x3d) return afterEquals;
      return isToken ? inName : endOrNext(byte);
    case afterEquals:
      if (byte === 0x22) return inQuotes;
      return isToken ? inToken : badExtension;
    case inToken:
      return isToken ? inToken : endOrNext(byte);
    case inQuotes:
      if (byte === 0x22) return afterQuotes;
      if (byte === 0x5c) return inEscape;
      return isQuotable(byte) ? inQuotes : badExtension;
    case inEscape:
      return isQuotable(byte) ? inQuotes : badExtension;
    default:
      return endOrNext(byte);
  }
}

function endOrNext(byte: number): number {
  if (byte === 0x0d) return extensionDone;
  return byte === 0x3b ? afterSemicolon : badExtension;
}

function isQuotable(byte: number): boolean {
  return byte === 0x09 || (byte >= 0x20 && byte !== 0x7f);
}
