import { hash } from 'node:crypto';
import { finish } from '../listen/answer.ts';
import { clock } from '../listen/clock.ts';
import type { Head } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { FrameTracker, goingAwayFrame } from '../parse/wsframes.ts';
import { endAttempt, tunnelAgreed } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';

/** What is known of a WebSocket on its way: enough to put a frame of our own between those of the backend. */
export class Tunnel {
  /** Of the backend. */
  readonly frames = new FrameTracker();
  /** The client is to be told to go, as soon as a frame can be put in. */
  isLeaving = false;
  /** It was told: nothing may follow a Close frame (RFC 6455 §5.5.1). */
  hasLeft = false;
}

/** @returns whether a 101 answers the handshake with that key (RFC 6455 §4.2.2); a key of the client's is the client's to check */
export function isAcceptOf(key: string, head: Head): boolean {
  if (key === '') return true;
  return head.get('sec-websocket-accept') === hash('sha1', `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64');
}

/** The backend agreed to speak websocket: from here both sides carry bytes that nobody reads (RFC 6455 §4.2.2). */
export function startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void {
  const client = exchange.client;
  if (client === null) return;
  exchange.status = 101;
  exchange.upstreamMs = clock.nowMs - exchange.tryStartedMs;
  exchange.isResponseStarted = true;
  tunnelAgreed(exchange);
  exchange.willClose = true;
  exchange.tunnel = new Tunnel();
  // It may stay for days, and the access log asks for a field or two at its end.
  exchange.head = exchange.head.compact();
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
  const { client, tunnel } = exchange;
  if (client === null || tunnel === null || tunnel.hasLeft) return;
  let to = end;
  if (tunnel.isLeaving) to = tunnel.frames.toBoundary(buffer, start, end);
  else tunnel.frames.feed(buffer, start, end);
  client.writeBody(exchange, buffer, start, to, null, isLent);
  if (tunnel.isLeaving) tellToGo(exchange, tunnel);
  if (client.isFull) exchange.upstream?.pause();
}

/**
 * The gateway ends: the client is told so with 1001, and connects anew elsewhere. Its own Close frame goes on to the backend,
 * so that both end as if it had been the client's wish. Whoever is still there at the second call is cut off.
 */
export function leaveTunnel(engine: Engine, exchange: Exchange): void {
  const { tunnel } = exchange;
  if (tunnel === null || tunnel.isLeaving) {
    exchange.flag = 'GE';
    closeTunnel(engine, exchange);
    return;
  }
  tunnel.isLeaving = true;
  exchange.requestDeadlineMs = clock.nowMs + engine.limits.lingerMs;
  tellToGo(exchange, tunnel);
}

function tellToGo(exchange: Exchange, tunnel: Tunnel): void {
  if (!tunnel.frames.isBetween) return;
  tunnel.hasLeft = true;
  exchange.client?.writeBody(exchange, goingAwayFrame, 0, goingAwayFrame.length, null, true);
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

/** Nothing has moved in either direction for too long, or nothing comes from the backend for a client that has ended. */
export function tunnelIdle(engine: Engine, exchange: Exchange): void {
  exchange.flag = exchange.client?.hasEnded === true ? 'DC' : 'SI';
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
