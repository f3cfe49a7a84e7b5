import type { Endpoint } from '#table/backend.ts';
import type { LiveEndpoint } from './endpoint.ts';

/**
 * An endpoint as one backend uses it. The state is shared by all backends; the row is of this backend's own set, because
 * two Services may disagree on whether the same address is ready.
 */
export interface Member {
  readonly state: LiveEndpoint;
  readonly row: Endpoint;
  /** Since when it is ready for this backend, ms; -Infinity when it was so from the start. */
  readonly sinceMs: number;
  /** May take new requests now: of the tier in use, healthy and not ejected. */
  isUsable: boolean;
  /** May serve requests of a session that it has: usable, or going away but still serving. */
  canKeepSession: boolean;
}

/** The members that a balancing algorithm chooses among. At least one. */
export interface Pool {
  readonly members: readonly Member[];
  readonly slowStartMs: number;
  /** From then on no member is in slow start. */
  readonly warmAtMs: number;
}

/** A balancing algorithm, ready to choose. Made anew when the pool changes. */
export interface Balancer {
  next(nowMs: number): Member;
}
