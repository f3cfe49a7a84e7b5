import type { Outlier } from '#table/backend.ts';

/** How an endpoint has failed of late. */
export interface Ejection {
  /** Gateway failures since the last success. */
  failures: number;
  /** How many ejections are held against it; the next one lasts one more times as long. */
  count: number;
  /** Left out until then; 0: in. */
  untilMs: number;
}

export function noEjection(): Ejection {
  return { failures: 0, count: 0, untilMs: 0 };
}

/** Answers to requests from before the ejection do not end it. */
export function afterSuccess(ejection: Ejection, nowMs: number): void {
  if (nowMs >= ejection.untilMs) ejection.failures = 0;
}

/**
 * Counts a failure. The strictest limit among the backends that share the endpoint decides.
 *
 * After an ejection the counter stays where it is: the endpoint is back on probation, and one failure more puts it out
 * again, one success clears it. Requests that were in flight when it was ejected count no second time.
 *
 * @returns true when the endpoint is ejected by this failure
 */
export function afterFailure(
  ejection: Ejection,
  users: Iterable<{ readonly outlier: Outlier }>,
  nowMs: number,
): boolean {
  if (nowMs < ejection.untilMs) return false;
  ejection.failures++;
  for (const { outlier } of users) {
    if (ejection.failures < outlier.consecutiveFailures || outlier.maxEjectedPercent === 0) continue;
    // One ejection is forgiven for each base time spent inside since the last one.
    const forgiven = ejection.untilMs === 0 ? 0 : Math.floor((nowMs - ejection.untilMs) / outlier.baseEjectionMs);
    ejection.count = Math.max(0, ejection.count - forgiven) + 1;
    ejection.untilMs = nowMs + Math.min(outlier.baseEjectionMs * ejection.count, outlier.maxEjectionMs);
    return true;
  }
  return false;
}

/**
 * How many of a backend's endpoints may be out at once. One may always be, if any: with three replicas and a limit of
 * ten percent, a dead one would otherwise take a third of the requests for ever.
 */
export function ejectableCount(total: number, maxEjectedPercent: number): number {
  return maxEjectedPercent === 0 ? 0 : Math.max(1, Math.floor((total * maxEjectedPercent) / 100));
}
