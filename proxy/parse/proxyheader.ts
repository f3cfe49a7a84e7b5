import ipaddr from 'ipaddr.js';
import { crc32c } from './crc32c.ts';
import { badSyntax, needsMore } from './head.ts';

/** What a PROXY header says of the connection that it stands for. */
export class ProxyHeader {
  /** false: of the sender's own connection (LOCAL, UNKNOWN), so the addresses of the socket are the ones that count. */
  isProxied = false;
  sourceAddress = '';
  sourcePort = 0;
  destinationAddress = '';
  destinationPort = 0;
  /** The client's connection to the sender was TLS (version 2 only). */
  isTls = false;
}

/** Longest header: 16 bytes, two addresses and a few kilobytes of TLVs (a client certificate's names among them). */
export const mostHeaderBytes = 4_096;

/** Version 1, with its CRLF; the longest that IPv6 can make it. */
const mostLineBytes = 107;

/**
 * A PROXY header of version 1 or 2 (haproxy.org/download/3.2/doc/proxy-protocol.txt). Nothing is guessed and nothing repaired:
 * whoever may send one names the client that limits and access rules go by.
 *
 * @returns the offset after the header; needsMore (0); badSyntax: it is none
 */
export function parseProxyHeader(header: ProxyHeader, buffer: Buffer, start: number, end: number): number {
  header.isProxied = header.isTls = false;
  return buffer[start] === signature[0]
    ? parseBinary(header, buffer, start, end)
    : parseLine(header, buffer, start, end);
}

const word = Buffer.from('PROXY ', 'latin1');

/** `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` CRLF. */
function parseLine(header: ProxyHeader, buffer: Buffer, start: number, end: number): number {
  const seen = Math.min(end - start, word.length);
  if (buffer.compare(word, 0, seen, start, start + seen) !== 0) return badSyntax;
  const limit = Math.min(end, start + mostLineBytes);
  const lineFeed = buffer.subarray(start, limit).indexOf(0x0a);
  if (lineFeed === -1) return limit - start >= mostLineBytes ? badSyntax : needsMore;
  const line = buffer.toString('latin1', start, start + lineFeed);
  const after = start + lineFeed + 1;
  if (!line.endsWith('\r')) return badSyntax;
  // What follows UNKNOWN is to be ignored, up to the end of the line.
  if (line === 'PROXY UNKNOWN\r' || line.startsWith('PROXY UNKNOWN ')) return after;
  const parts = /^PROXY (TCP[46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) (\d{1,5})\r$/.exec(line);
  if (parts === null) return badSyntax;
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = ''] = parts;
  const isAddress = family === 'TCP4' ? isIpv4 : isIpv6;
  if (!isAddress(source) || !isAddress(destination)) return badSyntax;
  if (!isPort(sourcePort) || !isPort(destinationPort)) return badSyntax;
  header.isProxied = true;
  header.sourceAddress = canonical(ipaddr.parse(source));
  header.sourcePort = Number(sourcePort);
  header.destinationAddress = canonical(ipaddr.parse(destination));
  header.destinationPort = Number(destinationPort);
  return after;
}

function isIpv4(text: string): boolean {
  return ipaddr.IPv4.isValidFourPartDecimal(text);
}

/** An IPv4 address at its end has no leading zeros, either: some read them as octal. */
function isIpv6(text: string): boolean {
  return ipaddr.IPv6.isValid(text) && (!text.includes('.') || isIpv4(text.slice(text.lastIndexOf(':') + 1)));
}

/** Decimal without leading zeros. */
function isPort(text: string): boolean {
  return (text === '0' || !text.startsWith('0')) && Number(text) <= 65_535;
}

const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;
/** Version 2 in the upper half of the byte, the command in the lower. */
const commandLocal = 0x20;
const commandProxy = 0x21;
/** Address family in the upper half, transport in the lower: stream sockets, as the connection that it came by. */
const unspecified = 0x00;
const tcp4 = 0x11;
const tcp6 = 0x21;
const unixStream = 0x31;
const addressBytes: { readonly [family: number]: number } = { [tcp4]: 12, [tcp6]: 36, [unixStream]: 216 };

function parseBinary(header: ProxyHeader, buffer: Buffer, start: number, end: number): number {
  const seen = Math.min(end - start, signature.length);
  if (buffer.compare(signature, 0, seen, start, start + seen) !== 0) return badSyntax;
  if (end - start < fixedBytes) return needsMore;
  const command = buffer[start + 12] as number;
  const family = buffer[start + 13] as number;
  const after = start + fixedBytes + buffer.readUInt16BE(start + 14);
  if (after - start > mostHeaderBytes) return badSyntax;
  if (command !== commandProxy && command !== commandLocal) return badSyntax;
  if (after > end) return needsMore;
  // LOCAL: the addresses are to be ignored, whatever their family says.
  if (command === commandLocal) return after;
  if (family === unspecified) return after;
  const length = addressBytes[family];
  const at = start + fixedBytes;
  if (length === undefined || after - at < length) return badSyntax;
  if (!readTlvs(header, buffer, start, at + length, after)) return badSyntax;
  if (family === unixStream) return after;
  const width = family === tcp4 ? 4 : 16;
  header.isProxied = true;
  header.sourceAddress = addressOf(buffer, at, width);
  header.destinationAddress = addressOf(buffer, at + width, width);
  header.sourcePort = buffer.readUInt16BE(at + 2 * width);
  header.destinationPort = buffer.readUInt16BE(at + 2 * width + 2);
  return after;
}

function addressOf(buffer: Buffer, at: number, width: number): string {
  return canonical(ipaddr.fromByteArray([...buffer.subarray(at, at + width)]));
}

/** One spelling for one client, the same as the kernel's: affinity and limits go by it. */
function canonical(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  if (address instanceof ipaddr.IPv4) return address.toString();
  return address.isIPv4MappedAddress() ? address.toIPv4Address().toString() : address.toRFC5952String();
}

const typeCrc32c = 0x03;
const typeSsl = 0x20;
/** First byte of an SSL TLV: the client came by TLS. */
const clientSsl = 0x01;

/** @returns false when a length leads out of the header, or the checksum does not hold */
function readTlvs(header: ProxyHeader, buffer: Buffer, start: number, from: number, after: number): boolean {
  for (let at = from; at < after; ) {
    if (after - at < 3) return false;
    const type = buffer[at] as number;
    const value = at + 3;
    const next = value + buffer.readUInt16BE(at + 1);
    if (next > after) return false;
    if (type === typeSsl) {
      if (next - value < 5) return false;
      header.isTls = ((buffer[value] as number) & clientSsl) !== 0;
    }
    if (type === typeCrc32c && !isChecksum(buffer, start, after, value, next)) return false;
    at = next;
  }
  return true;
}

/** The checksum covers the whole header, with its own four bytes as zeros. */
function isChecksum(buffer: Buffer, start: number, after: number, value: number, next: number): boolean {
  if (next - value !== 4) return false;
  const copy = Buffer.from(buffer.subarray(start, after));
  copy.fill(0, value - start, next - start);
  return crc32c(copy) === buffer.readUInt32BE(value);
}
