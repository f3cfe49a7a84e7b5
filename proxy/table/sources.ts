import { z } from 'zod';
import { Address, Prefix } from './address.ts';

const Range = z.union([Prefix, Address]);

/** Who may come, by address. One that cannot be read refuses the row: left out of `deny` it would open what that closes. */
export const SourceRanges = z.object({
  /** Looked at first. */
  deny: z.array(Range),
  /** null: everybody else; empty: nobody. */
  allow: z.array(Range).nullable(),
});
export type SourceRanges = z.infer<typeof SourceRanges>;
