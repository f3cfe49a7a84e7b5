import type { CircuitLimits } from '#table/resilience.ts';

/** The limit that left no room for a request. */
export type CircuitLimit = 'connections' | 'pending' | 'requests' | 'retries';

/** A request that waits until the backend may have another connection. */
export interface Waiter {
  readonly endpointKey: string;
  /** There may be room now: leaves the queue when there is. */
  admit(): void;
}

/**
 * What a worker uses of one backend, and how much of it it may use (Envoy's circuit breakers). Counted whether there are
 * limits or not, so that those that come later know of what is in flight; connections of HTTP only while they are limited.
 */
export class Circuit {
  limits: CircuitLimits;
  /** Its backend has left the tables: nobody new comes. */
  isGone = false;
  /** Open, whether a request is on them or not. */
  connections = 0;
  /** Requests without a connection yet. */
  pending = 0;
  /** Tries in flight; one that its client gave up counts until the backend has ended it. */
  requests = 0;
  /** Those of them that are not the first of their request. */
  retries = 0;
  /** In order of arrival; whoever has had its turn leaves from anywhere without a search through all others. */
  readonly waiting = new Set<Waiter>();
  /** An idle connection is closed for somebody whose turn it is: the room is not for the others. */
  isMakingRoom = false;
  /** How often in a row the first of them was passed over. */
  #passed = 0;

  constructor(limits: CircuitLimits) {
    this.limits = limits;
  }

  /** Whether one more would be over the limit. */
  isFull(limit: CircuitLimit): boolean {
    return this.limits[limit] > 0 && this[limit] >= this.limits[limit];
  }

  /** Whether one less would still leave no room: the limit was lowered. */
  isOver(limit: CircuitLimit): boolean {
    return this.limits[limit] > 0 && this[limit] > this.limits[limit];
  }

  /**
   * A connection became idle, or closed: whoever waits longest gets it, those for its endpoint first, because for others it
   * has to be closed; but nobody is passed over for ever.
   */
  roomCame(endpointKey: string): void {
    const [first] = this.waiting;
    if (first === undefined || this.isMakingRoom) return;
    const ofEndpoint = this.#firstOf(endpointKey);
    const next = this.#passed < mostPassed ? (ofEndpoint ?? first) : first;
    this.#passed = next === first ? 0 : this.#passed + 1;
    next.admit();
    // Room on a connection that goes on is of no use to those for another endpoint.
    if (ofEndpoint !== undefined && next !== ofEndpoint && this.waiting.has(next)) ofEndpoint.admit();
  }

  #firstOf(endpointKey: string): Waiter | undefined {
    for (const waiter of this.waiting) if (waiter.endpointKey === endpointKey) return waiter;
    return undefined;
  }

  /** There may be room for more than one: other limits, other endpoints, a backend that takes more. In order, each endpoint until it has none. */
  roomGrew(): void {
    const full = new Set<string>();
    for (const waiter of [...this.waiting]) {
      if (full.has(waiter.endpointKey)) continue;
      waiter.admit();
      if (this.waiting.has(waiter)) full.add(waiter.endpointKey);
    }
  }
}

const mostPassed = 8;
