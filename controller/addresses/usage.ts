import type { AddressPoolStatus } from './addresspool.ts';
import { capacityOf, type PoolSet } from './pools.ts';
import { type Family, familyOf } from './ranges.ts';

/** How much of each pool is in use, by name of pool. Families that a pool has nothing of are left out. */
export function usageOf(pools: PoolSet, inUse: Iterable<string>): Map<string, AddressPoolStatus> {
  const counts = new Map<string, number>();
  for (const address of inUse) {
    const pool = pools.of(address);
    if (pool === undefined) continue;
    const key = `${familyOf(address)} ${pool.name}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const usage = new Map<string, AddressPoolStatus>();
  for (const pool of pools.pools) {
    const count = (family: Family) => {
      const capacity = capacityOf(pool, family);
      const assigned = counts.get(`${family} ${pool.name}`) ?? 0;
      return capacity === 0n ? undefined : { assigned, available: toNumber(capacity - BigInt(assigned)) };
    };
    const [ipv4, ipv6] = [count('IPv4'), count('IPv6')];
    usage.set(pool.name, { ...(ipv4 && { ipv4 }), ...(ipv6 && { ipv6 }) });
  }
  return usage;
}

/** A /64 holds more than a number of JSON can say exactly. */
function toNumber(count: bigint): number {
  return count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(count);
}
