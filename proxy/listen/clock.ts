/**
 * The time as of the event that is being handled, ms, performance.now() based. Read once per read, write or timer event:
 * a request needs it seven times, and asking the system each time cost 2 % of a small GET.
 */
export const clock = { nowMs: performance.now() };

/** At the start of every event. */
export function readClock(): void {
  clock.nowMs = performance.now();
}
