import ipaddr from 'ipaddr.js';
import type { SourceRanges } from '#table/sources.ts';

/** A test of one address. */
export type AddressTest = (address: string) => boolean;

/**
 * Compiles ranges (`10.0.0.0/8`, `fd00::/8`, single addresses) into a test of one address; its cost hardly grows with their
 * number. A range that cannot be read covers nobody, and an address that cannot be read is in none.
 * IPv4-mapped IPv6 addresses count as the IPv4 address.
 */
export function rangeTest(ranges: readonly string[]): AddressTest {
  const spans = merged(ranges.map(spanOf).filter((span) => span !== null));
  if (spans.length === 0) return () => false;
  // Peers repeat (a load balancer has few addresses), so answers are kept; bounded because X-Forwarded-For holds anything.
  const answers = new Map<string, boolean>();
  return (address) => {
    const known = answers.get(address);
    if (known !== undefined) return known;
    const key = keyOf(plainAddress(address));
    const answer = key !== null && isIn(spans, key);
    if (answers.size >= 1024) answers.clear();
    answers.set(address, answer);
    return answer;
  };
}

/** Whether a client may come. Null: everybody may. */
export function admission({ deny, allow }: SourceRanges): AddressTest | null {
  if (deny.length === 0 && allow === null) return null;
  const isDenied = rangeTest(deny);
  const isAllowed = allow === null ? () => true : rangeTest(allow);
  return (address) => !isDenied(address) && isAllowed(address);
}

/** The address without the `::ffff:` that dual-stack sockets put before IPv4 peers, and without a zone (`%eth0`). */
export function plainAddress(address: string): string {
  if (address.startsWith('::ffff:') && address.includes('.')) return address.slice(7);
  const zone = address.indexOf('%');
  return zone === -1 ? address : address.slice(0, zone);
}

/** First and last address of a range, as texts that sort as the addresses do: length first, so IPv4 comes before IPv6. */
type Span = readonly [first: string, last: string];

function isIn(spans: readonly Span[], key: string): boolean {
  let low = 0;
  let high = spans.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isAfter((spans[middle] as Span)[0], key)) high = middle;
    else low = middle + 1;
  }
  const span = spans[low - 1];
  return span !== undefined && span[1].length === key.length && span[1] >= key;
}

/** In order, none inside another or across its end. */
function merged(spans: readonly Span[]): Span[] {
  const result: Span[] = [];
  for (const span of spans.toSorted(([a], [b]) => (isAfter(a, b) ? 1 : isAfter(b, a) ? -1 : 0))) {
    const before = result.at(-1);
    if (before === undefined || isAfter(span[0], before[1])) result.push(span);
    else if (isAfter(span[1], before[1])) result[result.length - 1] = [before[0], span[1]];
  }
  return result;
}

function isAfter(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}

/** An address as one character per byte; null when it is none, or one in a form that readers take differently (`10.1`). */
function keyOf(address: string): string | null {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address) && !ipaddr.IPv6.isValid(address)) return null;
  return String.fromCharCode(...ipaddr.process(address).toByteArray());
}

function spanOf(range: string): Span | null {
  const [text = '', length, rest] = range.trim().split('/');
  const plain = plainAddress(text);
  const key = keyOf(plain);
  if (key === null || rest !== undefined) return null;
  const bits = key.length * 8;
  if (length === undefined) return [key, key];
  if (!/^\d{1,3}$/.test(length)) return null;
  // `::ffff:10.0.0.0/104` is written in IPv6 bits but tested as IPv4.
  const prefix = Number(length) - (bits === 32 && text.includes(':') ? 96 : 0);
  if (prefix < 0 || prefix > bits) return null;
  const bytes = [...key].map((char) => char.charCodeAt(0));
  return [bounded(bytes, prefix, 0x00), bounded(bytes, prefix, 0xff)];
}

/** @param fill what stands in the bits after the prefix */
function bounded(bytes: readonly number[], prefix: number, fill: number): string {
  return String.fromCharCode(
    ...bytes.map((byte, i) => {
      const mask = (0xff00 >> Math.min(8, Math.max(0, prefix - i * 8))) & 0xff;
      return (byte & mask) | (fill & ~mask & 0xff);
    }),
  );
}
