import { z } from 'zod';
import { Address } from './address.ts';

/** An address that a node announces, and how. */
export const AnnouncedBy = z.object({ way: z.enum(['layer2', 'bgp']), address: Address });
export type AnnouncedBy = z.infer<typeof AnnouncedBy>;

/** What one message holds at most; the rest comes with the next. */
export const mostAnnounced = 5_000;

/** Edge → controller: what the node announces, as the difference from what it has told this controller before. */
export const Announced = z.object({
  /** true: whatever was told before is void. */
  isWhole: z.boolean(),
  gained: z.array(AnnouncedBy).max(mostAnnounced),
  lost: z.array(AnnouncedBy).max(mostAnnounced),
});
export type Announced = z.infer<typeof Announced>;
