import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import type { ClientSide } from '../forward/sides.ts';
import { refuse } from './answer.ts';
import { type Refusal, refusals } from './refusals.ts';

const http2 = 20;

/**
 * The host wants a connection that begins otherwise (RFC 9110 §15.5.20). Not every client opens one upon 421, and one that does
 * not would get the same answer for as long as it keeps its connection: so it ends, but for one of HTTP/2 that was opened for
 * another host and may go on with that.
 */
export function refuseMisdirected(engine: Engine, exchange: Exchange, refusal: Refusal): void {
  const client = exchange.client as ClientSide;
  const isOwn = client.peer.serverName === exchange.hostname;
  if (isOwn || exchange.line.version !== http2) client.drain();
  refuse(engine, exchange, refusal);
}

/**
 * A host that is passed through, asked for on a connection of another one, or of the time before it was. No wider host
 * answers in its name: where one certificate is for both, clients ask for both on one connection (RFC 9113 §9.1.1).
 */
export function refusePassedThrough(engine: Engine, exchange: Exchange): boolean {
  const { tables } = engine;
  if (!tables.hasServerNames(exchange.listenerId)) return false;
  if (tables.matchL4(exchange.listenerId, exchange.hostname) === null) return false;
  refuseMisdirected(engine, exchange, refusals.passedThrough);
  return true;
}
