import ipaddr from 'ipaddr.js';

export type Family = 'IPv4' | 'IPv6';

/** An address as a number within its family: 32 or 128 bits. */
export interface Address {
  family: Family;
  value: bigint;
}

/** Addresses from first to last, both included. */
export interface Range {
  family: Family;
  first: bigint;
  last: bigint;
}

const bitsOf: Readonly<Record<Family, number>> = { IPv4: 32, IPv6: 128 };

/**
 * Reads an address in its usual form: four decimal parts, or IPv6 without a zone. IPv6 addresses that stand for IPv4 ones
 * (RFC 4291 §2.5.5.2) are not taken: one machine would be two addresses.
 */
export function parseAddress(text: string): Address | undefined {
  const trimmed = text.trim();
  const value = valueOfIpv4(trimmed);
  if (value !== undefined) return { family: 'IPv4', value: BigInt(value) };
  if (!ipaddr.IPv6.isValid(trimmed) || trimmed.includes('%')) return undefined;
  const parsed = ipaddr.IPv6.parse(trimmed);
  return parsed.isIPv4MappedAddress() ? undefined : { family: 'IPv6', value: numberOf(parsed) };
}

/** The one text of an address; RFC 5952 for IPv6. Equal addresses have equal texts. */
export function textOf({ family, value }: Address): string {
  if (family === 'IPv4') {
    const bits = Number(value);
    return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
  }
  const bytes: number[] = [];
  for (let shift = bitsOf[family] - 8; shift >= 0; shift -= 8) bytes.push(Number((value >> BigInt(shift)) & 255n));
  return new ipaddr.IPv6(bytes).toRFC5952String();
}

/** The text of an address that somebody wrote; undefined if it is none. */
export function canonicalAddress(text: string): string | undefined {
  const trimmed = text.trim();
  // The only form that IPv4 addresses are taken in.
  if (valueOfIpv4(trimmed) !== undefined) return trimmed;
  const address = parseAddress(trimmed);
  return address && textOf(address);
}

export function familyOf(canonical: string): Family {
  return canonical.includes(':') ? 'IPv6' : 'IPv4';
}

/**
 * Reads an entry of a pool: `192.0.2.0/24`, `192.0.2.10-192.0.2.20` or `192.0.2.7`. Bits beyond a prefix do not count, as
 * everywhere in Kubernetes.
 *
 * @returns why it is none, as the end of "… is not usable: it"
 */
export function parseRange(text: string): Range | { fault: string } {
  const range = text.includes('/') ? parsePrefix(text) : parseSpan(text);
  if ('fault' in range) return range;
  const reserved = unusable.find((other) => overlap(other, range));
  return reserved ? { fault: `holds ${reserved.what} addresses, which no Service can have` } : range;
}

/** How many addresses there are. */
export function sizeOf({ first, last }: Range): bigint {
  return last - first + 1n;
}

export function holds({ family, first, last }: Range, address: Address): boolean {
  return family === address.family && first <= address.value && address.value <= last;
}

export function overlap(one: Range, other: Range): boolean {
  return one.family === other.family && one.first <= other.last && other.first <= one.last;
}

/** What is left of a range without others, in order. */
export function without(range: Range, others: readonly Range[]): Range[] {
  let left = [range];
  for (const other of others) {
    left = left.flatMap((part) => {
      if (!overlap(part, other)) return [part];
      const before = { ...part, last: other.first - 1n };
      const after = { ...part, first: other.last + 1n };
      return [before, after].filter(({ first, last }) => first <= last);
    });
  }
  return left;
}

/** As `parseRange`, for a prefix of any addresses. */
export function parsePrefix(text: string): Range | { fault: string } {
  const [base = '', length = '', ...rest] = text.split('/');
  const address = parseAddress(base);
  if (address === undefined || rest.length > 0) return { fault: 'is not an address and the length of a prefix' };
  const bits = bitsOf[address.family];
  if (!/^[0-9]{1,3}$/.test(length) || Number(length) > bits)
    return { fault: `has a prefix that is not of 0 to ${bits} bits` };
  const hostBits = BigInt(bits - Number(length));
  const first = (address.value >> hostBits) << hostBits;
  return { family: address.family, first, last: first + (1n << hostBits) - 1n };
}

function parseSpan(text: string): Range | { fault: string } {
  const [from = '', to = from, ...rest] = text.split('-');
  const [first, last] = [parseAddress(from), parseAddress(to)];
  if (first === undefined || last === undefined || rest.length > 0)
    return { fault: 'is not one address, or two with a "-" between them' };
  if (first.family !== last.family) return { fault: 'begins in one family of addresses and ends in the other' };
  if (first.value > last.value) return { fault: 'ends before it begins' };
  return { family: first.family, first: first.value, last: last.value };
}

/** Four decimal numbers without leading zeros. By hand: the endpoints of a large cluster are a hundred thousand of them. */
function valueOfIpv4(text: string): number | undefined {
  let value = 0;
  let part = -1;
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text.charCodeAt(i);
    if (char === 0x2e) {
      if (part < 0 || ++dots > 3) return undefined;
      value = value * 256 + part;
      part = -1;
    } else {
      const digit = char - 0x30;
      if (digit < 0 || digit > 9 || part === 0) return undefined;
      part = part < 0 ? digit : part * 10 + digit;
      if (part > 255) return undefined;
    }
  }
  return dots === 3 && part >= 0 ? value * 256 + part : undefined;
}

function numberOf(address: ipaddr.IPv6): bigint {
  return address.toByteArray().reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
}

/** RFC 6890. A node that announced one of these would cut itself, or its whole network, off. */
const unusable: readonly (Range & { what: string })[] = [
  { what: 'unspecified', ...prefix('0.0.0.0/8') },
  { what: 'loopback', ...prefix('127.0.0.0/8') },
  // Where clouds keep what they tell a machine alone, its credentials among it: its pods would ask a Service for them.
  { what: 'link-local', ...prefix('169.254.0.0/16') },
  { what: 'multicast and reserved', ...prefix('224.0.0.0/3') },
  { what: 'unspecified or loopback', ...prefix('::/127') },
  { what: 'IPv4-mapped', family: 'IPv6', first: 0xffff_0000_0000n, last: 0xffff_ffff_ffffn },
  { what: 'link-local', ...prefix('fe80::/10') },
  { what: 'multicast', ...prefix('ff00::/8') },
];

function prefix(text: string): Range {
  const range = parsePrefix(text);
  if ('fault' in range) throw new Error(`${text} ${range.fault}`);
  return range;
}
