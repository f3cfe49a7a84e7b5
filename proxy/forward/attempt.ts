import type { RetryCause } from '#table/route.ts';
import { answer, truncate } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import type { Refusal } from '../listen/refusals.ts';
import { bodyNone } from '../parse/framing.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState, TryResult } from '../select/types.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { type Failure, failures } from './failures.ts';
import { isAtHand, isIdempotent, nextTry } from './retry.ts';
import type { UpstreamSide } from './sides.ts';
import { leaveTunnel } from './tunnel.ts';

/**
 * Sends the request to the chosen endpoint, on a kept connection or a new one. Without a body the head goes out at once;
 * with one it waits for the body bytes of the same read, so that a small POST is one write. A backend that has no room for it
 * is spared: 503.
 * @returns false when the request was answered instead, and the exchange is over
 */
export function sendTo(engine: Engine, exchange: Exchange, endpoint: EndpointState): boolean {
  const { circuit } = (exchange.backend as LiveBackend).state;
  const upstream = circuit.isFull('requests') ? null : engine.pools.take(exchange, endpoint, clock.nowMs);
  if (upstream === null) {
    exchange.overflow = circuit.isFull('requests') ? 'requests' : 'pending';
    answer(engine, exchange, 503, 'UO', 'The backend has as many requests as it may have.');
    return false;
  }
  exchange.endpoint = endpoint;
  exchange.upstreamHost = endpoint.key;
  endpoint.started();
  circuit.requests++;
  if (++exchange.tries > 1) circuit.retries++;
  // Kept from the first byte on: before the connection is there, this is also where the body waits.
  else {
    exchange.forwardedAtMs = clock.nowMs;
    if (exchange.bodyKind !== bodyNone) exchange.replay = [];
  }
  beginOn(exchange, upstream);
  return true;
}

function beginOn(exchange: Exchange, upstream: UpstreamSide): void {
  const nowMs = clock.nowMs;
  exchange.tryStartedMs = nowMs;
  exchange.upstreamMs = -1;
  exchange.upstream = upstream;
  exchange.isHeadPending = true;
  // They are counted for each backend that sends them: another is not to be blamed for those before it.
  exchange.interims = 0;
  upstream.assign(exchange, nowMs);
  exchange.connectMs = upstream.isConnected ? 0 : -1;
  if (!upstream.isConnected) {
    exchange.isPending = true;
    (exchange.backend as LiveBackend).state.circuit.pending++;
  } else if (exchange.bodyKind === bodyNone) upstream.flush();
  else if (hasBodyAtHand(exchange)) writeAgain(exchange, upstream);
}

/** The backend has room for a connection to the endpoint that the request waits for: here it is, or is being opened. */
export function connectionCame(exchange: Exchange, upstream: UpstreamSide): void {
  const nowMs = clock.nowMs;
  exchange.tryStartedMs = nowMs;
  exchange.upstream = upstream;
  upstream.assign(exchange, nowMs);
  if (upstream.isConnected) upstreamConnected(exchange);
}

/**
 * The endpoint, which has left the backend, was asked nothing, or has heard nothing: the same try goes to another.
 * @returns null: there is none
 */
export function goElsewhere(exchange: Exchange): EndpointState | null {
  const gone = exchange.endpoint as EndpointState;
  const pick = (exchange.backend as LiveBackend).state.pick(exchange, exchange.tried, clock.nowMs);
  if (pick === null) return null;
  outcome.result = 'abandoned';
  outcome.latencyMs = 0;
  outcome.startedMs = outcome.nowMs = clock.nowMs;
  gone.finished(outcome);
  pick.endpoint.started();
  exchange.endpoint = pick.endpoint;
  exchange.upstreamHost = pick.endpoint.key;
  exchange.setCookie = pick.setCookie;
  return pick.endpoint;
}

/** It waits for no connection any more. */
function endPending(exchange: Exchange): void {
  if (!exchange.isPending) return;
  exchange.isPending = false;
  (exchange.backend as LiveBackend).state.circuit.pending--;
}

/** End of a read: if the head still waits (its body has not come), it goes alone. */
export function flushRequest(exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream?.isConnected) upstream.flush();
}

/** The new connection is there: head, and what has come of the body, go out. */
export function upstreamConnected(exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  exchange.connectMs = clock.nowMs - exchange.tryStartedMs;
  endPending(exchange);
  if (hasBodyAtHand(exchange)) writeAgain(exchange, upstream);
  else upstream.flush();
}

function hasBodyAtHand(exchange: Exchange): boolean {
  return exchange.requestTrailers !== null || (exchange.replay !== null && exchange.replay.length > 0);
}

/**
 * What was kept of the body, its end included when it has come. The client goes on: it was paused with the first piece of what is
 * at hand, while nothing was connected, or when a try before took no more.
 */
function writeAgain(exchange: Exchange, upstream: UpstreamSide): void {
  const pieces = exchange.replay ?? [];
  const last = pieces.length - 1;
  for (let i = 0; i <= last; i++) {
    const piece = pieces[i] as string | Buffer;
    const bytes = typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece;
    upstream.writeBody(exchange, bytes, 0, bytes.length, i === last ? exchange.requestTrailers : null, true);
  }
  if (last === -1) upstream.writeBody(exchange, noBytes, 0, 0, exchange.requestTrailers, true);
  if (!upstream.isFull) exchange.client?.resume();
}

const noBytes = Buffer.alloc(0);

/** The try ended without a usable response. Another follows, or the client is told. */
export function attemptFailed(engine: Engine, exchange: Exchange, upstream: UpstreamSide, failure: Failure): void {
  if (exchange.upstream !== upstream) return;
  exchange.upstream = null;
  // A kept connection that dies before the first byte is mostly the backend's idle close crossing our request: 4.7-8.5 %
  // of the requests in the worst case, and no fault of the endpoint (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
  const isIdleRace = failure === failures.reset && upstream.isReused && !upstream.hasAnswered;
  if (isIdleRace && isSentAnew(engine, exchange)) return;
  const { result, retriedAs } = failure;
  if (exchange.isResponseStarted) {
    endAttempt(exchange, result);
    // Who has begun to answer has not turned the request away, whatever it says now.
    breakOff(engine, exchange, failure.flag === 'UF' ? failures.streamReset : failure);
    return;
  }
  if (failure === failures.noRoom) exchange.overflow = 'connections';
  // What is kept for later is needed now.
  if (failure === failures.exhausted) engine.pools.closeIdle();
  if (retriedAs !== null && tryAgain(engine, exchange, retriedAs, result, failure)) return;
  endAttempt(exchange, result);
  answer(engine, exchange, failure.status, failure.flag, failure.sentence);
}

/** What a kept connection did not serve goes out once more, on one of its own. @returns false: it may not, or cannot */
function isSentAnew(engine: Engine, exchange: Exchange): boolean {
  if (exchange.hasUsedSpareTry || !isIdempotent(exchange.method) || !isAtHand(exchange)) return false;
  exchange.hasUsedSpareTry = true;
  const spare = openSpare(engine, exchange);
  if (spare === null) return false;
  beginOn(exchange, spare);
  return true;
}

/** @returns null: there is no room for it, or nobody to connect to */
function openSpare(engine: Engine, exchange: Exchange): UpstreamSide | null {
  // Whoever it goes to is not to be blamed for a connection of another.
  const { state } = exchange.backend as LiveBackend;
  if (state.circuit.isFull('pending')) return null;
  const before = exchange.endpoint as EndpointState;
  const endpoint = before.isOf(state) ? before : goElsewhere(exchange);
  return endpoint === null || endpoint.isGone ? null : engine.pools.open(exchange, endpoint, clock.nowMs);
}

/**
 * The backend answered with an error. @returns true when another endpoint gets the request instead of the client the answer
 */
export function retriedAfter(engine: Engine, exchange: Exchange, { status, isKeepAlive }: ResponseLine): boolean {
  // Before the end of the request, the answer is about what came so far; nothing of it is to be repeated.
  if (!exchange.isRequestComplete) return false;
  // Some say so when they close a connection that was idle for long: it crossed the request, and answers nothing (RFC 9110 §15.5.9).
  const kept = exchange.upstream;
  if (status === 408 && !isKeepAlive && kept?.isReused && isSentAnew(engine, exchange)) {
    kept.destroy();
    return true;
  }
  return tryAgain(engine, exchange, status, resultOf(status), null);
}

function tryAgain(
  engine: Engine,
  exchange: Exchange,
  cause: RetryCause,
  result: TryResult,
  failure: Failure | null,
): boolean {
  if (exchange.client === null || exchange.route?.row.retry.on.includes(cause) !== true) return false;
  const pick = nextTry(engine, exchange, failure, clock.nowMs);
  if (pick === null) return false;
  const { upstream } = exchange;
  exchange.upstream = null;
  upstream?.destroy();
  endAttempt(exchange, result);
  exchange.setCookie = pick.setCookie;
  if (sendTo(engine, exchange, pick.endpoint) && exchange.isHeadPending) flushRequest(exchange);
  return true;
}

/** The route's limit for the whole request is over, or the time of a WebSocket. */
export function requestTimedOut(engine: Engine, exchange: Exchange): void {
  if (exchange.tunnel !== null) {
    leaveTunnel(engine, exchange);
    return;
  }
  abandonAttempt(exchange);
  breakOff(engine, exchange, failures.requestTimeout);
}

/**
 * There is no more to come for the client. A head that waits for the first bytes of its body, which a compressor may keep for
 * long, has not left: what is wrong is said in its place, where the client would have had nothing at all.
 */
export function breakOff(engine: Engine, exchange: Exchange, why: Failure | Refusal): void {
  const { status, flag, sentence } = why;
  exchange.flag = flag;
  if (exchange.isResponseStarted && exchange.replyPrefix === '') {
    truncate(engine, exchange, why);
    return;
  }
  exchange.replyPrefix = '';
  answer(engine, exchange, status, flag, sentence);
}

/** What an answer says of the endpoint. */
export function resultOf(status: number): TryResult {
  if (status < 500) return 'success';
  return status >= 502 && status <= 504 ? 'gateway-error' : 'server-error';
}

const outcome = { result: 'success' as TryResult, startedMs: 0, latencyMs: 0, nowMs: 0 };

/** Tells the endpoint that it has agreed to a tunnel, which may stay for days: what fails meanwhile is not in a row with what failed before. */
export function tunnelAgreed(exchange: Exchange): void {
  outcome.result = 'success';
  outcome.startedMs = exchange.tryStartedMs;
  outcome.nowMs = clock.nowMs;
  outcome.latencyMs = exchange.upstreamMs;
  exchange.endpoint?.answered(outcome);
}

/** Tells the endpoint how the try ended; once per try. */
export function endAttempt(exchange: Exchange, result: TryResult): void {
  const endpoint = exchange.endpoint;
  if (endpoint === null) return;
  exchange.endpoint = null;
  endPending(exchange);
  const { circuit } = (exchange.backend as LiveBackend).state;
  circuit.requests--;
  if (exchange.tries > 1) circuit.retries--;
  const isTold = exchange.tunnel !== null && result === 'success';
  outcome.result = isTold ? 'abandoned' : result;
  outcome.startedMs = exchange.tryStartedMs;
  outcome.nowMs = clock.nowMs;
  outcome.latencyMs = isTold ? 0 : latencyOf(exchange);
  endpoint.finished(outcome);
}

/** While the client has not sent all, it may be the one who is slow. */
function latencyOf(exchange: Exchange): number {
  if (exchange.upstreamMs !== -1) return exchange.upstreamMs;
  return exchange.isRequestComplete ? clock.nowMs - exchange.tryStartedMs : 0;
}

/** Lets go of the backend in the middle of an exchange. What it has answered so far counts; no answer is no fault of its own. */
export function abandonAttempt(exchange: Exchange): void {
  const upstream = exchange.upstream;
  exchange.upstream = null;
  upstream?.abandon();
  endAttempt(exchange, exchange.isResponseStarted ? resultOf(exchange.status) : 'abandoned');
}
