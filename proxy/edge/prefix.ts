import ipaddr from 'ipaddr.js';
import type { Family } from './sets.ts';

export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

/**
 * The prefixes of one family that cover all of the given ones, none within another: the kernel takes no intervals that
 * overlap. Host bits are cleared.
 */
export function coverOf(prefixes: readonly string[], family: Family): string[] {
  const parsed = prefixes
    .filter((prefix) => familyOf(prefix) === family)
    .map((prefix) => ipaddr.parseCIDR(prefix))
    .sort(([, a], [, b]) => a - b);
  const cover = new Set<string>();
  const lengths = new Set<number>();
  for (const [address, length] of parsed) {
    const isCovered = [...lengths].some((wider) => cover.has(networkOf(address, wider)));
    if (isCovered) continue;
    cover.add(networkOf(address, length));
    lengths.add(length);
  }
  return [...cover].sort();
}

/** Whether one of the prefixes holds the address. */
export function isWithin(address: string, prefixes: readonly string[]): boolean {
  const family = familyOf(address);
  const parsed = ipaddr.parse(address);
  return prefixes.some((prefix) => familyOf(prefix) === family && parsed.match(ipaddr.parseCIDR(prefix)));
}

function networkOf(address: ipaddr.IPv4 | ipaddr.IPv6, length: number): string {
  const cidr = `${address.toString()}/${length}`;
  const Kind = address.kind() === 'ipv4' ? ipaddr.IPv4 : ipaddr.IPv6;
  return `${Kind.networkAddressFromCIDR(cidr).toString()}/${length}`;
}
