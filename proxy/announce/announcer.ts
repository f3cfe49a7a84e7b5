import type { AnnouncedBy } from '#table/announced.ts';
import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Delta } from '../receive/changes.ts';

/**
 * A way of telling the network that addresses are to be reached through this node. It reads its part of the plan by itself.
 * Nothing of it ever rejects: what cannot be done is a problem, and is tried again.
 */
export interface Announcer {
  /** Before the rules of a change: takes back what this node may not announce any more. Resolves when that is done. */
  withdraw(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void>;
  /** When the rules of the change are in force: announces what is to be. Resolves when it has been said, or cannot be. */
  announce(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void>;
  /** Addresses that this node announces now. Asked for every other second. */
  announced(): Iterable<AnnouncedBy>;
  status(): AnnouncerStatus;
  problems(): readonly Problem[];
  /** What it adds to /metrics: `exposition` of a register of its own, which test/golden/observed.ts puts into docs/metrics.md. */
  figures(): string;
  /** The agent ends, and the rules stay in force. */
  stop(): Promise<void>;
}

/** What `sluice edge status` shows of one way. */
export interface AnnouncerStatus {
  readonly way: 'layer2' | 'bgp';
  readonly addresses: readonly {
    readonly address: string;
    /** Of this node. */
    readonly isAnnounced: boolean;
    /** Where, to whom, or why not; for people. */
    readonly detail: string;
  }[];
  /** Whom this node speaks with about addresses: other edges, or routers. */
  readonly peers: readonly { readonly name: string; readonly isUp: boolean; readonly detail: string }[];
}
