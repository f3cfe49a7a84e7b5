import { badSyntax, needsMore } from './head.ts';
import { latin1 } from './latin1.ts';

/** What is read of a ClientHello. */
export class ClientHello {
  /** SNI, lower case, no trailing dot; '' when the client names none. */
  serverName = '';
  /** After needsMore: with fewer bytes than these in all it is not worth looking again. */
  wantedBytes = 0;
}

/** Longest ClientHello; with post-quantum key shares they have 2 KB. The same bound as Envoy's. */
const mostMessageBytes = 16_384;
/** A ClientHello in more pieces than this is an attack: the pieces before are walked over again for each. */
const mostRecords = 32;
const recordHeaderBytes = 5;
const mostRecordBytes = 16_384;
const messageHeaderBytes = 4;

/** No complete ClientHello has more bytes, record headers included. */
export const mostHelloBytes = messageHeaderBytes + mostMessageBytes + mostRecords * recordHeaderBytes;

/**
 * The first flight of a TLS client, to learn its server name (RFC 8446 §4.1.2, RFC 6066 §3). It may be cut into several records
 * (RFC 8446 §5.1).
 *
 * @returns the offset after its last record; needsMore (0); badSyntax: no ClientHello, or one that cannot be relied on
 */
export function parseClientHello(hello: ClientHello, buffer: Buffer, start: number, end: number): number {
  hello.serverName = '';
  const pieces: Buffer[] = [];
  let have = 0;
  let length = messageHeaderBytes;
  let at = start;
  while (have < length) {
    const fault = recordFault(buffer, at, end);
    if (fault || pieces.length === mostRecords) return badSyntax;
    const body = at + recordHeaderBytes;
    const next = body > end ? body : body + buffer.readUInt16BE(at + 3);
    if (next > end) {
      hello.wantedBytes = next - start;
      return needsMore;
    }
    pieces.push(buffer.subarray(body, next));
    have += next - body;
    at = next;
    // The message's own header may be cut, too.
    if (length === messageHeaderBytes && have >= messageHeaderBytes) {
      const header = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
      if (header[0] !== typeClientHello) return badSyntax;
      length += header.readUIntBE(1, 3);
      if (length > messageHeaderBytes + mostMessageBytes) return badSyntax;
    }
  }
  // Nothing else may share the last record with a ClientHello, for keys change right after it (RFC 8446 §5.1).
  if (have > length) return badSyntax;
  const message = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces);
  const name = serverNameOf(message);
  if (name === null) return badSyntax;
  hello.serverName = name;
  return at;
}

const typeHandshake = 22;
const typeClientHello = 1;

/** Looks at as much of a record header as is there. */
function recordFault(buffer: Buffer, at: number, end: number): boolean {
  if (at < end && buffer[at] !== typeHandshake) return true;
  // The minor version is whatever a client believes to be safest; middleboxes froze it.
  if (at + 1 < end && buffer[at + 1] !== 3) return true;
  if (at + recordHeaderBytes > end) return false;
  const length = buffer.readUInt16BE(at + 3);
  return length === 0 || length > mostRecordBytes;
}

const extensionServerName = 0;

/** @returns null when the lengths do not fit into each other, or the name is none */
function serverNameOf(message: Buffer): string | null {
  // Behind type and length: version and random.
  let at = messageHeaderBytes + 2 + 32;
  at = skip(message, at, 1);
  at = skip(message, at, 2);
  at = skip(message, at, 1);
  if (at === -1) return null;
  // A client of TLS 1.2 may leave extensions out altogether.
  if (at === message.length) return '';
  if (skip(message, at, 2) !== message.length) return null;
  at += 2;
  let name = '';
  let isFound = false;
  while (at < message.length) {
    if (at + 4 > message.length) return null;
    const type = message.readUInt16BE(at);
    const next = skip(message, at + 2, 2);
    if (next === -1) return null;
    if (type === extensionServerName) {
      const found = isFound ? null : readName(message, at + 4, next);
      if (found === null) return null;
      name = found;
      isFound = true;
    }
    at = next;
  }
  return name;
}

/** @param width of the length field at `at`. @returns the offset after the vector; -1 when it leads out of the message */
function skip(message: Buffer, at: number, width: 1 | 2): number {
  if (at === -1 || at + width > message.length) return -1;
  const next = at + width + message.readUIntBE(at, width);
  return next > message.length ? -1 : next;
}

/** A list of exactly one name of the only type that there is, host_name. */
function readName(message: Buffer, at: number, end: number): string | null {
  if (end - at < 6 || message.readUInt16BE(at) !== end - at - 2 || message[at + 2] !== 0) return null;
  if (message.readUInt16BE(at + 3) !== end - at - 5) return null;
  const name = plainServerName(latin1(message, at + 5, end));
  return name.length <= 253 && hostName.test(name) ? name : null;
}

/** As hosts are found by it. There is to be no dot at the end (RFC 6066 §3); of `https://shop.test./` node:https sends it all the same. */
export function plainServerName(sent: string): string {
  const name = sent.toLowerCase();
  return name.endsWith('.') ? name.slice(0, -1) : name;
}

/** With underscores, because internal names have them. */
const hostName = /^(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/;
