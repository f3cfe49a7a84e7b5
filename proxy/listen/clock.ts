import { performance } from 'node:perf_hooks';

/**
 * The time as of the event that is being handled, ms, performance.now() based. Read once per read, write or timer event:
 * a request needs it seven times, and asking the system each time cost 2 % of a small GET.
 */
export const clock = {
  nowMs: performance.now(),
  /** Milliseconds since 1970 at nowMs 0, by the system's clock as it was last seen: for what is told, and for nothing that decides. */
  wallOriginMs: performance.timeOrigin,
};

/** At the start of every event. `performance` is imported because the global of that name is a getter. */
export function readClock(): void {
  clock.nowMs = performance.now();
}

/** Now and then, because the system's clock may be set. */
export function readWallClock(): void {
  clock.wallOriginMs = Date.now() - performance.now();
}
