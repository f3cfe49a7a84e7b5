import type { AddressPoolStatus } from './addresspool.ts';
import { capacityOf, type PoolSet } from './pools.ts';
import { type Family, familyOf } from './ranges.ts';

/**
 * How much of each pool is in use, by name of pool. Families that a pool has nothing of are left out.
 *
 * @param ofNodes addresses that nodes have, which nobody else gets
 */
export function usageOf(
  pools: PoolSet,
  inUse: ReadonlySet<string>,
  ofNodes: Iterable<string>,
): Map<string, AddressPoolStatus> {
  const assigned = countsOf(pools, inUse);
  const kept = countsOf(pools, new Set(ofNodes).difference(inUse));
  const usage = new Map<string, AddressPoolStatus>();
  for (const pool of pools.pools) {
    const count = (family: Family) => {
      const capacity = capacityOf(pool, family);
      if (capacity === 0n) return undefined;
      const key = `${family} ${pool.name}`;
      const given = assigned.get(key) ?? 0;
      return { assigned: given, available: toNumber(capacity - BigInt(given + (kept.get(key) ?? 0))) };
    };
    const [ipv4, ipv6] = [count('IPv4'), count('IPv6')];
    usage.set(pool.name, { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) });
  }
  return usage;
}

/** By family and name of pool. */
function countsOf(pools: PoolSet, addresses: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const address of addresses) {
    const pool = pools.of(address);
    if (pool === undefined) continue;
    const key = `${familyOf(address)} ${pool.name}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** A /64 holds more than a number of JSON can say exactly. */
function toNumber(count: bigint): number {
  return count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
}
