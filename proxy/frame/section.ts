import { parseLength } from '../parse/framing.ts';
import { Head } from '../parse/head.ts';
import { latin1 } from '../parse/latin1.ts';
import { nameIds } from '../parse/names.ts';
import { mostFrameBytes } from './codes.ts';
import { pseudoIds } from './fieldrules.ts';
import type { TableEntry } from './tableentry.ts';
import { entryOverhead, tableBytes } from './tableentry.ts';

/** What a field section belongs to; each has its own rules for pseudo-header fields. */
export const sectionKinds = { request: 0, response: 1, trailers: 2 } as const;

/** The largest list that can be allowed, as RFC 9113 §6.5.2 counts it. */
const mostListBytes = 65_536;
/** The longest field block of a client that is decoded. */
export const mostBlockBytes = 65_536;
/**
 * And of a server: as many frames as are taken (fieldblock.ts), as with nghttp2. What is too much for its own client, and is not decoded,
 * ends the answers of all others on the connection.
 */
export const mostAnswerBlockBytes = 9 * mostFrameBytes;

/**
 * The decoder writes a line behind the accepted ones before it is known whether that is accepted, too. Its name may be the table's,
 * and its value all of the block.
 */
const lineRoom = tableBytes + Math.ceil((mostAnswerBlockBytes * 8) / 5) + 8;

/** A section so many times too large is an attack; up to there it may be some Cookies too many, of which the client is told: 431. */
const excess = 8;

/** Limits of one decoded field section. */
export interface SectionLimits {
  /** Names, values and 32 for each field (RFC 9113 §6.5.2); at most mostListBytes. */
  readonly listBytes: number;
  /** At most what a Head holds. */
  readonly fields: number;
}

/**
 * A decoded field section: fields as the canonical lines of an HTTP/1.1 head, so that a request that goes to a backend in
 * HTTP/1.1 is copied in runs and not taken apart again; pseudo-header fields in fields of their own.
 * It counts and checks while it is filled. What is too much or malformed is not kept, but decoding goes on, because the
 * tables of both sides must stay the same. One serves a whole process: it is filled and read within one call.
 */
export class FieldSection {
  method = '';
  scheme = '';
  authority = '';
  path = '';
  protocol = '';
  status = 0;
  /** Content-Length; -1 without. */
  contentLength = -1;
  /** RFC 9113 §8.1.1: whatever it says is not to be acted on. */
  isMalformed = false;
  /** More bytes or fields than allowed: 431. */
  isTooLarge = false;
  /** Regular fields; its text ends with an empty line, as that of an HTTP/1.1 head. */
  head = new Head();
  /** Lines; the decoder writes the next one at `at`, and has room for any. */
  readonly bytes: Buffer = Buffer.allocUnsafeSlow(mostListBytes + lineRoom + 2);
  at = 0;
  readonly #cookies = Buffer.allocUnsafeSlow(mostListBytes);
  #cookieBytes = 0;
  #hasCookie = false;
  #kind: number = sectionKinds.request;
  #listBytes = 0;
  #limit = 0;
  #fieldLimit = 0;
  #pseudos = 0;
  #count = 0;
  #lengths = 0;

  /** So many times more than allowed that nobody means it (CVE-2016-6581). */
  get isExcessive(): boolean {
    return this.#listBytes > this.#limit * excess;
  }

  /** @param kind of sectionKinds */
  begin(kind: number, limits: SectionLimits): void {
    this.#kind = kind;
    this.#limit = limits.listBytes;
    this.#fieldLimit = limits.fields;
    this.method = this.scheme = this.authority = this.path = this.protocol = '';
    this.status = 0;
    this.contentLength = -1;
    this.head.forget();
    this.head.count = 0;
    this.head.text = '';
    this.isMalformed = this.isTooLarge = this.#hasCookie = false;
    this.at = this.#cookieBytes = this.#listBytes = this.#pseudos = this.#count = this.#lengths = 0;
  }

  /** A field out of a table. */
  addEntry(entry: TableEntry): void {
    if (!this.#counts(entry.nameLength + entry.valueLength, entry.isMalformed)) return;
    if (entry.pseudo !== pseudoIds.none) {
      this.#addPseudo(entry.pseudo, entry.text);
      return;
    }
    const { bytes: line, start, length } = entry;
    const { bytes, at } = this;
    if (length > 48) line.copy(bytes, at, start, start + length);
    else for (let i = 0; i < length; i++) bytes[at + i] = line[start + i] as number;
    this.#addLine(entry.id, entry.nameLength, entry.valueLength);
  }

  /** A field whose line the decoder has written at `at`. */
  addLine(id: number, nameLength: number, valueLength: number, isMalformed: boolean): void {
    if (this.#counts(nameLength + valueLength, isMalformed)) this.#addLine(id, nameLength, valueLength);
  }

  /** A pseudo-header field that is no table's. */
  addPseudo(pseudo: number, text: string, length: number, isMalformed: boolean): void {
    if (this.#counts(length, isMalformed)) this.#addPseudo(pseudo, text);
  }

  #counts(bytes: number, isMalformed: boolean): boolean {
    this.#listBytes += bytes + entryOverhead;
    if (this.#listBytes > this.#limit) this.isTooLarge = true;
    if (isMalformed) this.isMalformed = true;
    return !this.isTooLarge && !this.isMalformed;
  }

  #addPseudo(pseudo: number, text: string): void {
    // Before all others, and each once (RFC 9113 §8.3).
    if (this.#count > 0 || this.#hasCookie || (this.#pseudos & pseudo) !== 0) this.isMalformed = true;
    this.#pseudos |= pseudo;
    switch (pseudo) {
      case pseudoIds.method:
        this.method = text;
        return;
      case pseudoIds.scheme:
        this.scheme = text;
        return;
      case pseudoIds.authority:
        this.authority = text;
        return;
      case pseudoIds.path:
        this.path = text;
        return;
      case pseudoIds.protocol:
        this.protocol = text;
        return;
      case pseudoIds.status:
        this.status = Number(text);
    }
  }

  #addLine(id: number, nameLength: number, valueLength: number): void {
    if (id === nameIds.cookie) this.#addCookie(this.at + nameLength + 2, valueLength);
    else this.#record(id, nameLength, valueLength);
  }

  #record(id: number, nameLength: number, valueLength: number): void {
    const field = this.#count;
    if (field >= this.#fieldLimit) {
      this.isTooLarge = true;
      return;
    }
    if (id === nameIds['content-length']) this.#lengths++;
    const { head } = this;
    const start = this.at;
    const valueStart = start + nameLength + 2;
    const valueEnd = valueStart + valueLength;
    head.ids[field] = id;
    head.nameStarts[field] = start;
    head.nameEnds[field] = start + nameLength;
    head.valueStarts[field] = valueStart;
    head.valueEnds[field] = valueEnd;
    this.#count = field + 1;
    this.at = valueEnd + 2;
  }

  /** Crumbs become one field again (RFC 9113 §8.2.3); it is written last. */
  #addCookie(valueStart: number, length: number): void {
    this.#hasCookie = true;
    if (this.#cookieBytes > 0) {
      this.#cookies[this.#cookieBytes++] = 0x3b;
      this.#cookies[this.#cookieBytes++] = 0x20;
    }
    this.#cookieBytes += this.bytes.copy(this.#cookies, this.#cookieBytes, valueStart, valueStart + length);
  }

  /** The block is decoded: checks what only the whole can tell. */
  end(): void {
    if (this.isTooLarge || this.isMalformed) return;
    if (this.#cookieBytes > 0) this.#writeCookies();
    if (this.isTooLarge) return;
    const { head, bytes, at } = this;
    bytes[at] = 0x0d;
    bytes[at + 1] = 0x0a;
    head.count = this.#count;
    head.text = latin1(bytes, 0, at + 2);
    if (this.#lengths > 0) {
      this.contentLength = this.#lengths > 1 ? -1 : parseLength(head, head.find(nameIds['content-length']));
      if (this.contentLength === -1) this.isMalformed = true;
    }
    if (!this.#hasRightPseudos()) this.isMalformed = true;
  }

  #writeCookies(): void {
    const length = this.#cookieBytes;
    this.#cookieBytes = 0;
    const { bytes, at } = this;
    bytes.write('cookie: ', at, 'latin1');
    this.#cookies.copy(bytes, at + 8, 0, length);
    bytes[at + 8 + length] = 0x0d;
    bytes[at + 9 + length] = 0x0a;
    this.#record(nameIds.cookie, 6, length);
  }

  #hasRightPseudos(): boolean {
    if (this.#kind === sectionKinds.trailers) return this.#pseudos === 0;
    if (this.#kind === sectionKinds.response) return this.#pseudos === pseudoIds.status;
    const { method, scheme, authority, path, protocol } = pseudoIds;
    const withoutAuthority = this.#pseudos & ~authority;
    // RFC 9113 §8.5 and RFC 8441 §4: CONNECT names an authority alone, or all of them and a protocol.
    if (this.method === 'CONNECT') {
      return (
        this.#pseudos === (method | authority) || this.#pseudos === (method | scheme | path | authority | protocol)
      );
    }
    if (withoutAuthority !== (method | scheme | path)) return false;
    return this.path !== '*' || this.method === 'OPTIONS';
  }

  /** Takes the fields away and leaves `spare` in their place: no copy, however many there are. */
  swapHead(spare: Head): Head {
    const { head } = this;
    this.head = spare;
    return head;
  }
}
