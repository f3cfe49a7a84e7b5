import { finish } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import { bodyChunked, bodyUntilClose } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { trailerLines } from '../parse/trailers.ts';
import { canRepeat, endAttempt, isIdempotent, retry } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { isFull, relay, sharedUpstreamBuffer } from './relay.ts';
import { buildReplyHead } from './replyhead.ts';
import type { UpstreamConnection } from './upstream.ts';

/**
 * The final response head has come, perhaps with body bytes in `buffer[start, end)`.
 * @returns false when the request goes to another endpoint instead
 */
export function replyHead(
  engine: Engine,
  exchange: Exchange,
  upstream: UpstreamConnection,
  buffer: Buffer,
  start: number,
  end: number,
): boolean {
  const nowMs = clock.nowMs;
  const line = upstream.line;
  exchange.upstreamMs = nowMs - exchange.tryStartedMs;
  if (line.status >= 400 && isRetried(engine, exchange, line.status, nowMs)) return false;
  const client = exchange.client;
  if (client === null) return false;
  exchange.status = line.status;
  decideReply(exchange, line);
  const text = buildReplyHead(exchange, line, upstream.head, nowMs);
  exchange.isResponseStarted = true;
  const waitsForBody = line.bodyKind === bodyChunked || line.bodyKind === bodyUntilClose;
  if (waitsForBody) {
    exchange.replyPrefix = text;
    return true;
  }
  exchange.bytesSent += text.length + end - start;
  relay(client.socket, text, buffer, start, end, '', buffer !== sharedUpstreamBuffer);
  if (isFull(client.socket)) client.writing();
  return true;
}

/** How the body goes to this client, and whether the connection can stay. */
function decideReply(exchange: Exchange, line: ResponseLine): void {
  exchange.replyKind = line.bodyKind;
  if (line.bodyKind === bodyChunked || line.bodyKind === bodyUntilClose) {
    exchange.replyKind = exchange.line.minor === 1 ? bodyChunked : bodyUntilClose;
    // The end of the connection is the only end that a 1.0 client can see.
    if (exchange.replyKind === bodyUntilClose) exchange.willClose = true;
  }
  // An answer before the end of the request: the rest of the upload would have to be read by nobody.
  if (!exchange.isRequestComplete) exchange.willClose = true;
}

function isRetried(engine: Engine, exchange: Exchange, status: number, nowMs: number): boolean {
  const retryOf = exchange.route?.row.retry;
  if (retryOf === undefined || !retryOf.on.includes(status) || exchange.tries >= retryOf.attempts) return false;
  if (!canRepeat(exchange, isIdempotent(exchange.method) || retryOf.canRepeatUnsafe)) return false;
  if (!exchange.isRequestComplete) return false;
  const endpoint = exchange.endpoint;
  const upstream = exchange.upstream;
  endAttempt(exchange, status >= 502 && status <= 504);
  exchange.upstream = null;
  if (retry(engine, exchange, endpoint, nowMs)) {
    upstream?.destroy();
    return true;
  }
  exchange.upstream = upstream;
  return false;
}

/** Body bytes, decoded. `suffix` follows them: the last chunk, when the body ends here. */
export function replyBody(
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  suffix: string,
  isLent: boolean,
): void {
  const client = exchange.client;
  if (client === null) return;
  let prefix = exchange.replyPrefix;
  exchange.replyPrefix = '';
  let tail = suffix;
  if (exchange.replyKind === bodyChunked && end > start) {
    prefix += `${(end - start).toString(16)}\r\n`;
    tail = `\r\n${suffix}`;
  }
  if (prefix === '' && tail === '' && start === end) return;
  exchange.bytesSent += prefix.length + end - start + tail.length;
  relay(client.socket, prefix, buffer, start, end, tail, isLent);
  if (isFull(client.socket)) client.writing();
}

/** The chunk that ends a body, with the trailers that may pass. */
export function lastChunk(trailers: Head): string {
  return trailers.count === 0 ? '0\r\n\r\n' : `0\r\n${trailerLines(trailers)}\r\n`;
}

/** The response is complete and written. */
export function replyEnd(engine: Engine, exchange: Exchange): void {
  exchange.upstream = null;
  if (exchange.replyPrefix !== '') replyBody(exchange, sharedUpstreamBuffer, 0, 0, '', false);
  endAttempt(exchange, exchange.status >= 502 && exchange.status <= 504);
  finish(engine, exchange);
}

/** 100, 102, 103: passed to clients that know them (RFC 9110 §15.2). */
export function replyInterim(exchange: Exchange, line: ResponseLine, head: Head): void {
  const client = exchange.client;
  if (client === null || exchange.line.minor === 0) return;
  if (line.status === 100 && !exchange.expectsContinue) return;
  let text = `HTTP/1.1 ${line.status} ${line.status === 103 ? 'Early Hints' : line.status === 100 ? 'Continue' : 'Processing'}\r\n`;
  if (line.status === 103) {
    for (let field = 0; field < head.count; field++) {
      if (head.name(field).toLowerCase() === 'link') text += `Link: ${head.value(field)}\r\n`;
    }
  }
  client.socket.write(`${text}\r\n`, 'latin1');
}

/** The client has taken what waited for it. */
export function clientDrained(exchange: Exchange): void {
  exchange.client?.written();
  exchange.upstream?.resume();
}
