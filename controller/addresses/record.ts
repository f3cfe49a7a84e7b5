import { canonicalAddress } from './ranges.ts';

/** An address that a Service has, and the pool that it came from. */
export interface Allocation {
  /** Canonical. */
  address: string;
  pool: string;
}

/**
 * Where a leader writes down what it has given, before anything is announced: `public/192.0.2.7,public6/2001:db8::7`.
 * So all replicas plan the same, and the next leader goes on where this one ended, even if the Service was not told yet.
 */
export const recordAnnotation = 'sluice.dev/allocation';

/** Somebody may have edited it: what is no pool and address is not there. */
export function readRecord(annotations: Readonly<Record<string, string>>): Allocation[] {
  const entries = (annotations[recordAnnotation] ?? '').split(',');
  const byAddress = new Map<string, Allocation>();
  for (const entry of entries) {
    const slash = entry.indexOf('/');
    const address = canonicalAddress(entry.slice(slash + 1));
    if (slash > 0 && address !== undefined) byAddress.set(address, { address, pool: entry.slice(0, slash).trim() });
  }
  return [...byAddress.values()];
}

export function writeRecord(allocations: readonly Allocation[]): string {
  return allocations.map(({ pool, address }) => `${pool}/${address}`).join(',');
}
