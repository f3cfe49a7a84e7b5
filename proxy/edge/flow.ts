import type { Family } from './sets.ts';

/**
 * How rules name clients and flows in maps that they fill themselves. nft 1.0.6 has room for keys of 16 bytes there and
 * aborts on longer ones, so IPv6 addresses go in as two hashes with different seeds. Should two clients ever share both,
 * they share an endpoint: no harm.
 */
export function clientOf(family: Family): string {
  return family === 4 ? 'ip saddr' : hashes('ip6 saddr');
}

/** A UDP flow as it is sent. For IPv6 without the address of the Service: flows of one socket to one port move together. */
export function sentFlowOf(family: Family): string {
  return family === 4
    ? 'ip saddr . udp sport . ip daddr . udp dport'
    : `${hashes('ip6 saddr . udp sport')} . udp dport`;
}

/** The same where the packet has been translated already. */
export function originalFlowOf(family: Family): string {
  const port = 'ct original proto-dst';
  return family === 4
    ? `ip saddr . udp sport . ct original ip daddr . ${port}`
    : `${hashes('ip6 saddr . udp sport')} . ${port}`;
}

/** The types of these keys, for `typeof`. */
export function clientTypeOf(family: Family): string {
  return family === 4 ? 'ip saddr' : `${hashType} . ${hashType}`;
}

export function flowTypeOf(family: Family): string {
  return family === 4 ? 'ip saddr . udp sport . ip daddr . udp dport' : `${hashType} . ${hashType} . udp dport`;
}

/** Of 32 bits. A hash as `typeof` makes nft 1.0.6 crash when somebody lists the map. */
const hashType = 'numgen random mod 65536';

function hashes(of: string): string {
  return [1, 2].map((seed) => `jhash ${of} mod 4294967295 seed ${seed}`).join(' . ');
}
