import { finish } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { endAttempt } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { isFull, relay, sharedClientBuffer, sharedUpstreamBuffer } from './relay.ts';
import { buildSwitchHead } from './replyhead.ts';
import type { UpstreamConnection } from './upstream.ts';

/** The backend agreed to speak websocket: from here both connections carry bytes that nobody reads (RFC 6455 §4.2.2). */
export function startTunnel(exchange: Exchange, upstream: UpstreamConnection): void {
  const client = exchange.client;
  if (client === null) return;
  exchange.status = 101;
  exchange.upstreamMs = clock.nowMs - exchange.tryStartedMs;
  exchange.isResponseStarted = true;
  exchange.willClose = true;
  const line: ResponseLine = upstream.line;
  client.socket.write(buildSwitchHead(exchange, line, upstream.head), 'latin1');
  client.enterTunnel(exchange, upstream.socket);
}

export function tunnelFromClient(exchange: Exchange, buffer: Buffer, start: number, end: number): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  exchange.bytesReceived += end - start;
  relay(upstream.socket, '', buffer, start, end, '', buffer !== sharedClientBuffer);
  upstream.sent(clock.nowMs);
  if (isFull(upstream.socket)) exchange.client?.pause();
}

export function tunnelFromUpstream(exchange: Exchange, buffer: Buffer, start: number, end: number): void {
  const client = exchange.client;
  if (client === null) return;
  exchange.bytesSent += end - start;
  relay(client.socket, '', buffer, start, end, '', buffer !== sharedUpstreamBuffer);
  if (isFull(client.socket)) {
    client.writing();
    exchange.upstream?.pause();
  }
}

/** The client will send no more; the backend may still. */
export function tunnelClientEnded(engine: Engine, exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  if (upstream.hasEnded) closeTunnel(engine, exchange);
  else upstream.socket.end();
}

export function tunnelUpstreamEnded(engine: Engine, exchange: Exchange): void {
  const client = exchange.client;
  if (client === null || client.hasEnded) closeTunnel(engine, exchange);
  else client.socket.end();
}

/** Both directions are over, or nothing has moved for too long. */
export function closeTunnel(engine: Engine, exchange: Exchange): void {
  const upstream = exchange.upstream;
  exchange.upstream = null;
  upstream?.endSoon();
  endAttempt(exchange, false);
  finish(engine, exchange);
}
