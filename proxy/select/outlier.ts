import type { Outlier } from '#table/resilience.ts';
import type { TryResult } from './types.ts';

/** Why an endpoint was left out. */
export type EjectionReason = 'server-errors' | 'gateway-errors' | 'local-failures' | 'success-rate';

/** How an endpoint has failed of late. */
export interface Ejection {
  /** In a row, as the rows of Outlier say: answers of the backend that are errors, and failures without an answer. */
  serverErrors: number;
  gatewayErrors: number;
  localFailures: number;
  /** The last failure was for want of a connection. */
  isUnreachable: boolean;
  /** How many ejections are held against it; the next one lasts one more times as long. */
  count: number;
  /** Left out until then; 0: in. */
  untilMs: number;
  /** Tries that began later, for want of another endpoint, end it by their success; Infinity: none do. */
  sinceMs: number;
  /** How many of these have succeeded in a row. */
  successes: number;
}

export function noEjection(): Ejection {
  return {
    serverErrors: 0,
    gatewayErrors: 0,
    localFailures: 0,
    isUnreachable: false,
    count: 0,
    untilMs: 0,
    sinceMs: 0,
    successes: 0,
  };
}

/**
 * Counts how a try ended. After an ejection the counters stay where they are: the endpoint is back on probation, and one
 * failure more puts it out again, one success clears it. Tries that were in flight when it was ejected, good or bad, count
 * for nothing.
 *
 * @returns true when it was a failure that counts
 */
export function countResult(ejection: Ejection, result: Exclude<TryResult, 'abandoned'>, nowMs: number): boolean {
  if (nowMs < ejection.untilMs) return false;
  ejection.serverErrors = result === 'success' ? 0 : ejection.serverErrors + 1;
  ejection.gatewayErrors = result === 'success' || result === 'server-error' ? 0 : ejection.gatewayErrors + 1;
  ejection.localFailures = isLocal(result) ? ejection.localFailures + 1 : 0;
  ejection.isUnreachable = result === 'unreachable';
  return result !== 'success';
}

/** Whether the failures counted so far are too many for a backend; null: not yet. */
export function reasonToEject(ejection: Ejection, outlier: Outlier): EjectionReason | null {
  if (outlier.maxEjectedPercent === 0) return null;
  if (isOver(ejection.localFailures, outlier.consecutiveLocalFailures)) return 'local-failures';
  if (isOver(ejection.gatewayErrors, outlier.consecutiveGatewayErrors)) return 'gateway-errors';
  return isOver(ejection.serverErrors, outlier.consecutiveServerErrors) ? 'server-errors' : null;
}

function isOver(failures: number, limit: number): boolean {
  return limit > 0 && failures >= limit;
}

function isLocal(result: TryResult): boolean {
  return result === 'local-failure' || result === 'unreachable';
}

/**
 * To be refused costs nothing: the request goes elsewhere in the same moment, whatever its method. So whoever is not there is
 * asked again soon, and a pod that has restarted gets its requests back.
 */
const longestUnreachableMs = 2_000;

/**
 * Leaves the endpoint out: each time for one base time more, up to the maximum.
 * @param badSinceMs when what it is left out for began: an interval that was bad as a whole forgives nothing
 */
export function eject(ejection: Ejection, outlier: Outlier, badSinceMs: number, nowMs: number): void {
  // One ejection is forgiven for each base time spent inside since the last one.
  const wellMs = ejection.untilMs === 0 ? 0 : Math.max(0, badSinceMs - ejection.untilMs);
  const held = Math.max(0, ejection.count - Math.floor(wellMs / outlier.baseEjectionMs));
  // A restart of some seconds is several of these: it is not held against the pod that answers 503 for a moment after it.
  ejection.count = ejection.isUnreachable ? held : held + 1;
  const longestMs = ejection.isUnreachable
    ? Math.min(longestUnreachableMs, outlier.maxEjectionMs)
    : outlier.maxEjectionMs;
  ejection.untilMs = nowMs + Math.min(outlier.baseEjectionMs * Math.max(1, ejection.count), longestMs);
  ejection.successes = 0;
}

/**
 * Counts how a try ended that was sent to an endpoint that is left out. One success ends the first ejection; each one more that is
 * held against it takes four times as many in a row, up to sixty-four, so that where all fail half of the time, and so all are used,
 * nobody goes out and in again for every few requests.
 *
 * @returns whether it is well enough to be back
 */
export function isWellAgain(ejection: Ejection, isSuccess: boolean): boolean {
  ejection.successes = isSuccess ? ejection.successes + 1 : 0;
  return ejection.successes >= Math.min(mostSuccesses, 4 ** (ejection.count - 1));
}

/** Each of them has failed elsewhere before, and for some such requests the budget of retries has nothing left. */
const mostSuccesses = 64;

/** The endpoint was found well: it is back before its time. */
export function endEjection(ejection: Ejection, nowMs: number): void {
  ejection.untilMs = Math.min(ejection.untilMs, nowMs);
}

/**
 * How many of a backend's endpoints may be out at once. One may always be, if any: with three replicas and a limit of
 * ten percent, a dead one would otherwise take a third of the requests for ever.
 */
export function ejectableCount(total: number, maxEjectedPercent: number): number {
  return maxEjectedPercent === 0 ? 0 : Math.max(1, Math.floor((total * maxEjectedPercent) / 100));
}
