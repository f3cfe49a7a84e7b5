import { z } from 'zod';
import type { RefIn, RowIn } from './contract.ts';
import { Problem } from './problem.ts';
import type { Rows } from './rows.ts';

/** Readers accept this version and the one before it. */
export const schemaVersion = 1;

/** What ends a batch on the wire. Everything between two commits applies at once or not at all. */
export const Commit = z.object({
  schemaVersion: z.int(),
  /** Counts commits of one controller; for people and logs. Not comparable between controllers. */
  generation: z.int().min(0),
  /** Content hash of the whole table after this commit (hash.ts): order-independent, so replicas that agree have the same. */
  hash: z.string(),
  /**
   * Per kind of object, the highest resourceVersion that the sender has seen, by list, event or bookmark; of a controller of several
   * namespaces also per kind and namespace (`Ingress team`), and of several ConfigMaps for each (`ConfigMap team/gateway`).
   * A proxy takes a table only from a sender that has seen all that its own table holds: a lagging
   * replica never takes it back in time. Empty maps (files) always pass.
   */
  seen: z.record(z.string(), z.number()),
  /** Per kind, the highest resourceVersion whose content is in the table. */
  holds: z.record(z.string(), z.number()),
});
export type Commit = z.infer<typeof Commit>;

/** Rows between two commits, as the receiver takes them. */
export interface ChangeBatch<M = Rows> {
  /** true: `upserts` are the whole table and what is not in it goes. */
  isSnapshot: boolean;
  upserts: readonly RowIn<M>[];
  deletes: readonly RefIn<M>[];
  commit: Commit;
}

/** Proxy → controller. A refused batch leaves the last good table in force. */
export const Ack = z.discriminatedUnion('type', [
  z.object({ type: z.literal('applied'), hash: z.string(), generation: z.int() }),
  z.object({ type: z.literal('refused'), hash: z.string(), generation: z.int(), problems: z.array(Problem) }),
]);
export type Ack = z.infer<typeof Ack>;
