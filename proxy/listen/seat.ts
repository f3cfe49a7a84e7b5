import type { Link } from '../carry/link.ts';
import type { Engine } from '../forward/engine.ts';
import type { Peer } from '../forward/sides.ts';
import { ClientConnection } from './client.ts';
import type { Connection, SocketConnection } from './connection.ts';
import { H2Connection } from './h2connection.ts';
import type { H2Taker } from './h2preface.ts';

interface SeatOptions {
  readonly engine: Engine;
  replaced(before: Connection, now: Connection): void;
}

/**
 * The HTTP connection of a client. Which version it speaks may turn out only with its first bytes.
 *
 * @param isH2 chosen by ALPN
 */
export function seatHttp(options: SeatOptions, link: Link, peer: Peer, isH2: boolean): SocketConnection {
  const { engine } = options;
  const canBeH2 = peer.door.http2 && !peer.door.isTls;
  const connection = isH2
    ? new H2Connection(engine, peer, link)
    : new ClientConnection(engine, peer, link, canBeH2 ? new Seat(options, link, peer) : null);
  link.receiver = connection;
  return connection;
}

/** Takes over from HTTP/1.1 (RFC 9113 §3.3: a client that knew beforehand). */
class Seat implements H2Taker {
  readonly #options: SeatOptions;
  readonly #link: Link;
  readonly #peer: Peer;

  constructor(options: SeatOptions, link: Link, peer: Peer) {
    this.#options = options;
    this.#link = link;
    this.#peer = peer;
  }

  spokeH2(...[before, bytes, start, end]: Parameters<H2Taker['spokeH2']>): void {
    const now = new H2Connection(this.#options.engine, this.#peer, this.#link);
    this.#link.receiver = now;
    this.#options.replaced(before, now);
    if (before.isLeaving) now.drain();
    now.leaveAt(before.leavesAtMs);
    now.receive(bytes, start, end);
  }
}
