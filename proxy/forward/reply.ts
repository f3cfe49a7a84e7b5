import { finish } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import { type Head, noTrailers } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { endAttempt, resultOf, retriedAfter } from './attempt.ts';
import { beginEncoding } from './encoding.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { sharedUpstreamBuffer } from './relay.ts';

/**
 * The final response head has come; body bytes follow by replyBody.
 * @returns false when the request goes to another endpoint instead
 */
export function replyHead(engine: Engine, exchange: Exchange, line: ResponseLine, head: Head): boolean {
  const nowMs = clock.nowMs;
  exchange.upstreamMs = nowMs - exchange.tryStartedMs;
  if (line.status >= 400 && retriedAfter(engine, exchange, line)) return false;
  const client = exchange.client;
  if (client === null) return false;
  exchange.status = line.status;
  exchange.isResponseStarted = true;
  // An answer before the end of the request: the rest of the upload would have to be read by nobody.
  if (!exchange.isRequestComplete) exchange.willClose = true;
  const compression = exchange.route?.filters.compression ?? client.peer.door.compression;
  if (compression !== null) beginEncoding(engine, exchange, compression, line, head);
  client.writeHead(exchange, line, head);
  return true;
}

/** Body bytes, decoded; parameters as in ClientSide.writeBody. */
export function replyBody(
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  trailers: Head | null,
  isLent: boolean,
): void {
  // Trailers end with the encoding: a response that announces some is not encoded.
  if (exchange.encoder !== null) exchange.encoder.write(buffer, start, end);
  else exchange.client?.writeBody(exchange, buffer, start, end, trailers, isLent);
}

/** Whether the backend is to wait with more of the body. */
export function isReplyFull(exchange: Exchange): boolean {
  return exchange.encoder === null ? exchange.client?.isFull === true : exchange.encoder.isFull;
}

/** The client has taken what waited for it. */
export function clientDrained(exchange: Exchange): void {
  if (exchange.encoder === null) exchange.upstream?.resume();
  else exchange.encoder.clientDrained();
}

/** The body ends here, after what was written. */
export function replyLast(exchange: Exchange): void {
  replyBody(exchange, sharedUpstreamBuffer, 0, 0, noTrailers, false);
}

/** The response is complete and written. */
export function replyEnd(engine: Engine, exchange: Exchange): void {
  exchange.upstream = null;
  endAttempt(exchange, resultOf(exchange.status));
  if (exchange.encoder !== null) exchange.encoder.end();
  else finish(engine, exchange);
}
