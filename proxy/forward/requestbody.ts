import { answer, truncate } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import { type Refusal, refusals } from '../listen/refusals.ts';
import { bodyChunked } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { latin1 } from '../parse/latin1.ts';
import { trailerLines } from '../parse/trailers.ts';
import { abandonAttempt, endAttempt } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { isFull, relay, sharedClientBuffer, shortBytes } from './relay.ts';

/**
 * Body bytes of a request, in `buffer[start, end)`, decoded.
 * @param trailers complete with the last piece
 */
export function requestBody(
  engine: Engine,
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  isLast: boolean,
  trailers: Head,
): void {
  exchange.bytesReceived += end - start;
  const limit = exchange.route?.row.bodyLimit ?? null;
  if (limit !== null && exchange.bytesReceived > limit) {
    requestBroken(engine, exchange, refusals.bodyTooLong);
    return;
  }
  // The backend has answered and gone: what is still uploaded goes nowhere.
  if (exchange.upstream === null) return;
  let prefix = '';
  let suffix = '';
  if (exchange.bodyKind === bodyChunked) {
    if (end > start) {
      prefix = `${(end - start).toString(16)}\r\n`;
      suffix = '\r\n';
    }
    if (isLast) suffix += `0\r\n${trailerLines(trailers)}\r\n`;
  }
  const upstream = exchange.upstream;
  const isReady = upstream.isConnected;
  if (isReady && exchange.isHeadPending) {
    prefix = exchange.upstreamHead + prefix;
    exchange.isHeadPending = false;
  }
  if (exchange.replay !== null) keep(engine, exchange, prefix, buffer, start, end, suffix, isReady);
  if (!isReady) {
    // Nothing takes the bytes yet; the piece that came is kept whatever its size, the next ones stay in the kernel.
    exchange.client?.pause();
    return;
  }
  const isLent = buffer !== sharedClientBuffer;
  relay(upstream.socket, prefix, buffer, start, end, suffix, isLent);
  upstream.sent(clock.nowMs);
  if (isFull(upstream.socket)) exchange.client?.pause();
}

/** Keeps a piece for another try, until the body is too long to be kept. */
function keep(
  engine: Engine,
  exchange: Exchange,
  prefix: string,
  buffer: Buffer,
  start: number,
  end: number,
  suffix: string,
  isReady: boolean,
): void {
  const replay = exchange.replay as (string | Buffer)[];
  exchange.replayBytes += end - start;
  if (isReady && exchange.replayBytes > engine.limits.replayBytes) {
    exchange.replay = null;
    return;
  }
  // The head is built again for each try and is no part of what is kept.
  const framing =
    isReady && prefix.startsWith(exchange.upstreamHead) ? prefix.slice(exchange.upstreamHead.length) : prefix;
  if (end - start <= shortBytes) {
    replay.push(framing + latin1(buffer, start, end) + suffix);
    return;
  }
  if (framing !== '') replay.push(framing);
  replay.push(Buffer.from(buffer.subarray(start, end)));
  if (suffix !== '') replay.push(suffix);
}

/** The rest of the request will not come, or may not: the backend must never take what it has for a whole request. */
export function requestBroken(engine: Engine, exchange: Exchange, refusal: Refusal): void {
  abandonAttempt(exchange);
  endAttempt(exchange, false);
  exchange.willClose = true;
  exchange.flag = refusal.flag;
  if (exchange.isResponseStarted) truncate(engine, exchange);
  else answer(engine, exchange, refusal.status, refusal.flag, refusal.sentence);
}
