import type { RetryRefusal } from '../observe/record.ts';
import { bodyNone } from '../parse/framing.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { Pick } from '../select/types.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { type Failure, failures } from './failures.ts';

/**
 * Decides whether a failed try is followed by another, and takes what that costs out of the budget.
 *
 * @param failure null: the backend has answered
 * @returns the endpoint to try; null: none, and `exchange.retryRefusal` says why
 */
export function nextTry(engine: Engine, exchange: Exchange, failure: Failure | null, nowMs: number): Pick | null {
  const refusal = refusalOf(exchange, failure?.mayHaveRun !== false, nowMs);
  if (refusal !== null) return refuse(exchange, refusal);
  const { endpoint } = exchange;
  if (endpoint !== null) exchange.tried.push(endpoint);
  const { state } = exchange.backend as LiveBackend;
  // A limit that was lowered meanwhile has no place for it, and what the backend has said would be lost.
  if (state.circuit.isOver('requests')) {
    exchange.overflow = 'requests';
    return refuse(exchange, 'limit');
  }
  // The try that has just failed is still counted.
  if (exchange.tries === 1 && state.circuit.isFull('retries')) {
    exchange.overflow = 'retries';
    return refuse(exchange, 'limit');
  }
  const pick = state.pick(exchange, exchange.tried, nowMs);
  if (pick === null) return refuse(exchange, 'endpoint');
  // What the backend has said is worth more to the client than that it is spared now.
  if (!engine.pools.hasRoom(exchange, pick.endpoint, nowMs)) {
    exchange.overflow = 'pending';
    return refuse(exchange, 'limit');
  }
  // Free once: a backend that leaves whatever comes behind is asked no more often than by the budget (gRFC A6).
  // So is leaving one that is not there for another: whoever is asked next has no more than if it had been chosen at first.
  const isElsewhere = failure === failures.refused && !exchange.tried.includes(pick.endpoint);
  const isUnasked = failure === failures.leftBehind || failure === failures.crowded || isElsewhere;
  const isFree = isUnasked && exchange.tries === 1;
  return isFree || engine.budget.withdraw(nowMs) ? pick : refuse(exchange, 'budget');
}

function refuse(exchange: Exchange, refusal: RetryRefusal): null {
  exchange.retryRefusal = refusal;
  return null;
}

function refusalOf(exchange: Exchange, mayHaveRun: boolean, nowMs: number): RetryRefusal | null {
  const { retry } = (exchange.route as NonNullable<Exchange['route']>).row;
  if (mayHaveRun && !retry.canRepeatUnsafe && !isIdempotent(exchange.method)) return 'unsafe';
  if (!isAtHand(exchange)) return 'body';
  if (exchange.tries >= retry.attempts) return 'tries';
  if (nowMs >= exchange.requestDeadlineMs) return 'time';
  return retry.withinMs > 0 && nowMs >= exchange.forwardedAtMs + retry.withinMs ? 'time' : null;
}

/** Whether all that was sent can be sent once more. */
export function isAtHand(exchange: Exchange): boolean {
  return exchange.bodyKind === bodyNone || exchange.replay !== null;
}

/** RFC 9110 §9.2.2. */
export function isIdempotent(method: string): boolean {
  return method !== 'POST' && method !== 'PATCH' && method !== 'LOCK' && method !== 'LINK' && method !== 'MERGE';
}
