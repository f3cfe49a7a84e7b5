import { z } from 'zod';
import { LabelSelector } from './selector.ts';

/** For the API server; here ranges.ts reads an entry, so that one that is none costs only itself. */
const entryPattern = '^[0-9A-Fa-f:.]+(/[0-9]{1,3}| ?- ?[0-9A-Fa-f:.]+)?$';

export const AddressPoolSpec = z
  .object({
    addresses: z
      .array(z.string().max(100).meta({ pattern: entryPattern }))
      .min(1)
      .max(256)
      .describe('What the pool holds: CIDRs, ranges first-last and single addresses, of both families.'),
    autoAssign: z
      .boolean()
      .default(true)
      .describe('Whether Services that ask for nothing get addresses of this pool; false: only those that name it.'),
    avoidBuggyIPs: z
      .boolean()
      .default(false)
      .describe('Leave out IPv4 addresses that end in .0 or .255, which some old equipment takes for broadcasts.'),
    priority: z
      .int()
      .min(0)
      .max(1_000_000)
      .optional()
      .describe('Of several pools that admit a Service, the lowest number gives first; pools without one come last.'),
    namespaces: z
      .array(z.string().min(1).max(63))
      .max(1024)
      .default([])
      .describe('Only Services of these namespaces, and of those that namespaceSelector selects.'),
    namespaceSelector: LabelSelector.optional().describe('Only Services of namespaces with these labels.'),
    serviceSelector: LabelSelector.optional().describe('Only Services with these labels.'),
  })
  .describe('Which addresses the pool holds, and who may have them.');
export type AddressPoolSpec = z.infer<typeof AddressPoolSpec>;

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const FamilyCount = z.object({
  assigned: count.describe('Addresses that Services hold.'),
  available: count.describe('Addresses that are free; the largest number (2^53-1) stands for all above it, too.'),
});

export const AddressPoolStatus = z
  .object({
    ipv4: FamilyCount.optional().describe('IPv4 addresses of the pool.'),
    ipv6: FamilyCount.optional().describe('IPv6 addresses of the pool.'),
  })
  .describe('How much of the pool is in use. Written by the leading controller.');
export type AddressPoolStatus = z.infer<typeof AddressPoolStatus>;
