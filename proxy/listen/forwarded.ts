import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Exchange } from '../forward/exchange.ts';

/**
 * Compiles trusted ranges (`10.0.0.0/8`, `fd00::/8`, single addresses) into a test of one address.
 * A range that cannot be read trusts nobody; an address that cannot be read is not trusted.
 * IPv4-mapped IPv6 addresses count as the IPv4 address.
 */
export function trustOf(cidrs: readonly string[]): (address: string) => boolean {
  const ranges = cidrs.map(rangeOf).filter((range) => range !== null);
  if (ranges.length === 0) return () => false;
  // Peers repeat (a load balancer has few addresses), so answers are kept; bounded because X-Forwarded-For holds anything.
  const answers = new Map<string, boolean>();
  return (address) => {
    const known = answers.get(address);
    if (known !== undefined) return known;
    const words = wordsOf(plainAddress(address));
    const answer = words !== null && ranges.some((range) => covers(range, words));
    if (answers.size >= 1024) answers.clear();
    answers.set(address, answer);
    return answer;
  };
}

/** The address without the `::ffff:` that dual-stack sockets put before IPv4 peers, and without a zone (`%eth0`). */
export function plainAddress(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

/**
 * The client of a request: the rightmost address of the chain `forwardedFor, peer` that is not trusted. When all are
 * trusted it is the leftmost. What stands left of something unreadable is not believed, because nobody vouches for it.
 *
 * @param forwardedFor value of X-Forwarded-For, repeated fields joined by commas; '' when absent
 */
export function clientAddressOf(peer: string, forwardedFor: string, isTrusted: (address: string) => boolean): string {
  let client = plainAddress(peer);
  let end = forwardedFor.length;
  while (end > 0 && isTrusted(client)) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    const address = addressOf(forwardedFor.slice(comma + 1, end));
    if (address === null) return client;
    client = address;
    end = comma;
  }
  return client;
}

/** Sets what a trusted peer says of the client, before anything is matched by it. */
export function believePeer(exchange: Exchange): void {
  const peer = exchange.client?.peer;
  if (peer === undefined || !peer.isTrusted) return;
  exchange.clientAddress = clientAddressOf(peer.address, exchange.forwardedFor, peer.door.isTrusted);
  exchange.scheme = forwardedProtoOf(exchange.head.get('x-forwarded-proto') ?? '') ?? exchange.scheme;
}

/**
 * Value of X-Forwarded-For for the backend: the client, then every trusted hop up to and including the peer. What came
 * left of the client is cut, because backends that read the leftmost address would believe what the client wrote there.
 */
export function forwardedForOf(peer: string, forwardedFor: string, isTrusted: (address: string) => boolean): string {
  let hop = plainAddress(peer);
  let chain = hop;
  let end = forwardedFor.length;
  while (end > 0 && isTrusted(hop)) {
    const comma = forwardedFor.lastIndexOf(',', end - 1);
    const address = addressOf(forwardedFor.slice(comma + 1, end));
    if (address === null) return chain;
    hop = address;
    chain = `${hop}, ${chain}`;
    end = comma;
  }
  return chain;
}

/** Scheme from X-Forwarded-Proto of a trusted peer; of a list the first, which is the client's own connection. */
export function forwardedProtoOf(value: string): 'http' | 'https' | null {
  const first = firstOf(value).toLowerCase();
  return first === 'http' || first === 'https' ? first : null;
}

/** Host (with port, if given) from X-Forwarded-Host of a trusted peer, lower case; null when it is not a host. */
export function forwardedHostOf(value: string): string | null {
  const first = firstOf(value).toLowerCase();
  return first.length <= 261 && hostPattern.test(first) ? first : null;
}

/** Port from X-Forwarded-Port of a trusted peer; null when it is not one. */
export function forwardedPortOf(value: string): number | null {
  const first = firstOf(value);
  if (!/^\d{1,5}$/.test(first)) return null;
  const port = Number(first);
  return port >= 1 && port <= 65535 ? port : null;
}

const hostPattern = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?\.?|\[[0-9a-f:.]+\])(?::\d{1,5})?$/;

function firstOf(list: string): string {
  const comma = list.indexOf(',');
  return (comma === -1 ? list : list.slice(0, comma)).trim();
}

/** One element of X-Forwarded-For: an address, perhaps with a port; null when it is neither. */
function addressOf(element: string): string | null {
  let text = element.trim();
  const bracketed = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(text);
  if (bracketed?.[1] !== undefined) text = bracketed[1];
  else if (text.includes('.') && text.indexOf(':') === text.lastIndexOf(':')) text = text.replace(/:\d{1,5}$/, '');
  const plain = plainAddress(text);
  return isIP(plain) === 0 ? null : plain;
}

/** An address as one (IPv4) or four (IPv6) unsigned 32-bit words. */
type Words = readonly number[];

interface Range {
  readonly words: Words;
  readonly masks: Words;
}

function covers(range: Range, words: Words): boolean {
  if (range.words.length !== words.length) return false;
  for (let i = 0; i < words.length; i++) {
    if ((((words[i] ?? 0) ^ (range.words[i] ?? 0)) & (range.masks[i] ?? 0)) !== 0) return false;
  }
  return true;
}

function wordsOf(address: string): Words | null {
  if (isIP(address) === 0) return null;
  const parsed = ipaddr.process(address);
  const bytes = parsed.toByteArray();
  const words: number[] = [];
  for (let i = 0; i < bytes.length; i += 4) {
    words.push(
      ((bytes[i] ?? 0) << 24) | ((bytes[i + 1] ?? 0) << 16) | ((bytes[i + 2] ?? 0) << 8) | (bytes[i + 3] ?? 0),
    );
  }
  return words;
}

function rangeOf(cidr: string): Range | null {
  const [text = '', length, rest] = cidr.trim().split('/');
  const plain = plainAddress(text);
  const words = wordsOf(plain);
  if (words === null || rest !== undefined) return null;
  const bits = words.length * 32;
  // `::ffff:10.0.0.0/104` is written in IPv6 bits but tested as IPv4.
  const mappedBits = plain === text ? 0 : 96;
  if (length !== undefined && !/^\d{1,3}$/.test(length)) return null;
  const prefix = length === undefined ? bits : Number(length) - mappedBits;
  if (prefix < 0 || prefix > bits) return null;
  return { words, masks: words.map((_, i) => maskOf(prefix - i * 32)) };
}

function maskOf(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? -1 : ~(0xffffffff >>> bits);
}
