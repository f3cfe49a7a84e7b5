import { finish } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import type { Head } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { endAttempt } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';

/** The backend agreed to speak websocket: from here both sides carry bytes that nobody reads (RFC 6455 §4.2.2). */
export function startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void {
  const client = exchange.client;
  if (client === null) return;
  exchange.status = 101;
  exchange.upstreamMs = clock.nowMs - exchange.tryStartedMs;
  exchange.isResponseStarted = true;
  exchange.willClose = true;
  client.startTunnel(exchange, line, head);
}

export function tunnelFromClient(
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  isLent: boolean,
): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  exchange.bytesReceived += end - start;
  upstream.writeBody(exchange, buffer, start, end, null, isLent);
  if (upstream.isFull) exchange.client?.pause();
}

export function tunnelFromUpstream(
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  isLent: boolean,
): void {
  const client = exchange.client;
  if (client === null) return;
  client.writeBody(exchange, buffer, start, end, null, isLent);
  if (client.isFull) exchange.upstream?.pause();
}

/** The client will send no more; the backend may still. */
export function tunnelClientEnded(engine: Engine, exchange: Exchange): void {
  const upstream = exchange.upstream;
  if (upstream === null) return;
  if (upstream.hasEnded) closeTunnel(engine, exchange);
  else upstream.end();
}

export function tunnelUpstreamEnded(engine: Engine, exchange: Exchange): void {
  const client = exchange.client;
  if (client === null || client.hasEnded) closeTunnel(engine, exchange);
  else client.end();
}

/** Nothing has moved in either direction for too long. */
export function tunnelIdle(engine: Engine, exchange: Exchange): void {
  exchange.flag = 'SI';
  closeTunnel(engine, exchange);
}

/** Both directions are over. */
function closeTunnel(engine: Engine, exchange: Exchange): void {
  const upstream = exchange.upstream;
  exchange.upstream = null;
  upstream?.endSoon();
  endAttempt(exchange, 'success');
  finish(engine, exchange);
}
