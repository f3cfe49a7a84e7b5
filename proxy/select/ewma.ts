import type { Member } from './member.ts';

/**
 * Cost for peak EWMA: how long a request would wait, by latency of late times what is in flight.
 *
 * An endpoint that has never answered costs nothing while idle, so that it is measured soon, and everything while its
 * first request is out: with an unknown latency nothing else keeps a herd off it.
 */
export function expectedWaitMs(member: Member, nowMs: number, warmth: number): number {
  const { state } = member;
  if (state.latencyMs < 0) return state.inFlight === 0 ? 0 : Number.MAX_VALUE;
  return state.latencyAt(nowMs) * (state.inFlight / warmth + 1);
}
