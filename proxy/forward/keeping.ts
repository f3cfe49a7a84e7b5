import type { Backend } from '#table/backend.ts';
import type { Limits } from '../listen/limits.ts';
import { waitOver } from './tryclock.ts';

/** How long a backend connection is kept for later requests. Settled when it is opened. */
export interface Keeping {
  /** Idle ones beside it at most. */
  readonly connections: number;
  readonly requests: number;
  /** Infinity: no limit. */
  readonly idleMs: number;
  readonly retireAtMs: number;
}

/**
 * Backends that do with HEAD what they do with GET send a body behind the head, in a write of its own: it comes a little later, up to
 * 200 ms where Nagle waits for a delayed acknowledgement, and would be the answer to the next request, whose client may be another. With
 * Python's http.server one answer in five was. So long nobody is sent behind HEAD, ms.
 */
export const headRestMs = 250;

/** What the row says, and the worker's own limits where it says nothing. */
export function keepingOf({ keepAlive }: Backend, limits: Limits, nowMs: number): Keeping {
  const { connections, requests, idleMs, lifetimeMs } = keepAlive;
  return {
    connections: connections ?? limits.upstreamIdleConnections,
    requests: requests ?? limits.upstreamRequests,
    idleMs: idleMs === null ? limits.upstreamIdleMs : waitOver(0, idleMs),
    retireAtMs: waitOver(nowMs, lifetimeMs ?? limits.upstreamLifetimeMs),
  };
}
