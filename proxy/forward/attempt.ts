import type { CompiledEdits } from '../filters/compiled.ts';
import { answer, truncate } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import { bodyNone } from '../parse/framing.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState } from '../select/types.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { type Failure, failures } from './failures.ts';
import { isFull } from './relay.ts';
import { buildRequestHead } from './requesthead.ts';
import type { UpstreamConnection } from './upstream.ts';

/**
 * Sends the request to the chosen endpoint, on a kept connection or a new one. Without a body the head goes out at once;
 * with one it waits for the body bytes of the same read, so that a small POST is one write.
 */
export function sendTo(engine: Engine, exchange: Exchange, endpoint: EndpointState): void {
  exchange.endpoint = endpoint;
  exchange.upstreamHost = endpoint.key;
  endpoint.started();
  // Kept from the first byte on: before the connection is there, this is also where the body waits.
  if (exchange.tries++ === 0 && exchange.bodyKind !== bodyNone) exchange.replay = [];
  connect(engine, exchange, endpoint, true);
}

function connect(engine: Engine, exchange: Exchange, endpoint: EndpointState, canReuse: boolean): void {
  const route = (exchange.route as NonNullable<Exchange['route']>).row;
  const backend = exchange.backend as LiveBackend;
  const nowMs = clock.nowMs;
  exchange.tryStartedMs = nowMs;
  exchange.upstreamMs = -1;
  if (exchange.upstreamHead === '') exchange.upstreamHead = buildHead(exchange, backend);
  const upstream = engine.pools.take(endpoint, backend, exchange.isTls, route.timeouts.connectMs, canReuse, nowMs);
  exchange.upstream = upstream;
  upstream.assign(exchange, nowMs, route.timeouts.readMs, route.timeouts.sendMs);
  exchange.isHeadPending = true;
  if (!upstream.isConnected) return;
  if (exchange.bodyKind === bodyNone) {
    exchange.isHeadPending = false;
    upstream.socket.write(exchange.upstreamHead, 'latin1');
  } else if (exchange.replay !== null && exchange.replay.length > 0) {
    writeAgain(exchange, upstream);
  }
}

function buildHead(exchange: Exchange, backend: LiveBackend): string {
  const filters = exchange.route?.filters ?? null;
  const own = exchange.backendFilters;
  const rewrite = own?.path ?? filters?.path ?? null;
  let target = exchange.target;
  if (rewrite !== null) {
    const path = rewrite(exchange);
    target = exchange.query === '' && !exchange.target.endsWith('?') ? path : `${path}?${exchange.query}`;
  }
  const named = own?.host ?? filters?.host ?? null;
  // A 1.0 client may leave Host out; the backend's own name is then the best there is (RFC 9112 §3.2).
  const host = named ?? (exchange.authority === '' ? (backend.row.tls?.serverName ?? '') : exchange.authority);
  const ofRoute = filters?.requestHeaders ?? null;
  const ofBackend = own?.requestHeaders ?? null;
  if (ofRoute === null && ofBackend === null) return buildRequestHead(exchange, target, host, noEdits);
  const edits = [ofRoute, ofBackend].filter((edit) => edit !== null);
  return buildRequestHead(exchange, target, host, edits);
}

const noEdits: readonly CompiledEdits[] = [];

/** End of a read: if the head still waits (its body has not come), it goes alone. */
export function flushRequest(exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream === null || !upstream.isConnected) return;
  exchange.isHeadPending = false;
  upstream.socket.write(exchange.upstreamHead, 'latin1');
  upstream.sent(clock.nowMs);
}

/** The new connection is there: head, and what has come of the body, go out. */
export function upstreamConnected(exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  writeAgain(exchange, upstream);
}

function writeAgain(exchange: Exchange, upstream: UpstreamConnection): void {
  exchange.isHeadPending = false;
  const socket = upstream.socket;
  const pieces = exchange.replay ?? [];
  const first = pieces[0];
  socket.cork();
  if (typeof first === 'string') socket.write(exchange.upstreamHead + first, 'latin1');
  else {
    socket.write(exchange.upstreamHead, 'latin1');
    if (first !== undefined) socket.write(first);
  }
  for (let i = 1; i < pieces.length; i++) {
    const piece = pieces[i] as string | Buffer;
    if (typeof piece === 'string') socket.write(piece, 'latin1');
    else socket.write(piece);
  }
  socket.uncork();
  upstream.sent(clock.nowMs);
  if (!isFull(socket)) exchange.client?.resume();
}

/** The try ended without a usable response. Another follows, or the client is told. */
export function attemptFailed(
  engine: Engine,
  exchange: Exchange,
  upstream: UpstreamConnection,
  failure: Failure,
): void {
  if (exchange.upstream !== upstream) return;
  exchange.upstream = null;
  const nowMs = clock.nowMs;
  // A kept connection that dies before the first byte is mostly the backend's idle close crossing our request: 4.7-8.5 %
  // of the requests in the worst case, and no fault of the endpoint (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
  const isIdleRace = failure === failures.reset && upstream.isReused && !upstream.hasAnswered;
  if (isIdleRace && !exchange.hasUsedSpareTry && canRepeat(exchange, isIdempotent(exchange.method))) {
    exchange.hasUsedSpareTry = true;
    connect(engine, exchange, exchange.endpoint as EndpointState, false);
    return;
  }
  const endpoint = exchange.endpoint;
  endAttempt(exchange, failure.isEndpointsFault);
  const route = exchange.route?.row;
  const isListed = failure.retriedAs !== null && route?.retry.on.includes(failure.retriedAs) === true;
  const isSafe = !failure.mayHaveRun || isIdempotent(exchange.method) || route?.retry.canRepeatUnsafe === true;
  if (isListed && canRepeat(exchange, isSafe) && retry(engine, exchange, endpoint, nowMs)) return;
  if (exchange.isResponseStarted) {
    exchange.flag = failure.flag;
    truncate(engine, exchange);
  } else {
    answer(engine, exchange, failure.status, failure.flag, failure.sentence);
  }
}

/** The route's limit for the whole request is over. */
export function requestTimedOut(engine: Engine, exchange: Exchange): void {
  const { status, flag, sentence, isEndpointsFault } = failures.requestTimeout;
  abandonAttempt(exchange);
  endAttempt(exchange, isEndpointsFault);
  exchange.flag = flag;
  if (exchange.isResponseStarted) truncate(engine, exchange);
  else answer(engine, exchange, status, flag, sentence);
}

/**
 * @param failed the endpoint of the try that has just ended
 * @returns true when another endpoint gets the request; false when tries, budget or endpoints are used up
 */
export function retry(engine: Engine, exchange: Exchange, failed: EndpointState | null, nowMs: number): boolean {
  const route = exchange.route?.row;
  if (route === undefined || exchange.tries >= route.retry.attempts || exchange.client === null) return false;
  if (nowMs >= exchange.requestDeadlineMs || !engine.budget.withdraw(nowMs)) return false;
  if (failed !== null) exchange.tried.push(failed);
  const pick = exchange.backend?.state.pick(exchange, exchange.tried, nowMs) ?? null;
  if (pick === null) return false;
  exchange.setCookie = pick.setCookie ?? exchange.setCookie;
  sendTo(engine, exchange, pick.endpoint);
  if (exchange.isHeadPending) flushRequest(exchange);
  return true;
}

/** Whether the request can be sent once more: nothing was told to the client, and all bytes are still at hand. */
export function canRepeat(exchange: Exchange, isSafe: boolean): boolean {
  if (!isSafe || exchange.isResponseStarted) return false;
  return exchange.bodyKind === bodyNone || exchange.replay !== null;
}

/** RFC 9110 §9.2.2. */
export function isIdempotent(method: string): boolean {
  return method !== 'POST' && method !== 'PATCH' && method !== 'LOCK' && method !== 'LINK' && method !== 'MERGE';
}

const outcome = { failed: false, latencyMs: 0, nowMs: 0 };

/** Tells the endpoint how the try ended; once per try. */
export function endAttempt(exchange: Exchange, isFailed: boolean): void {
  const endpoint = exchange.endpoint;
  if (endpoint === null) return;
  exchange.endpoint = null;
  const nowMs = clock.nowMs;
  outcome.failed = isFailed;
  outcome.nowMs = nowMs;
  outcome.latencyMs = exchange.upstreamMs === -1 ? nowMs - exchange.tryStartedMs : exchange.upstreamMs;
  endpoint.finished(outcome);
}

/** Lets go of the backend connection in the middle of an exchange; it cannot be used again. */
export function abandonAttempt(exchange: Exchange): void {
  const upstream = exchange.upstream;
  exchange.upstream = null;
  upstream?.destroy();
}
