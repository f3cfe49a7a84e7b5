import type { Socket } from 'node:net';
import type { Origin } from '../forward/flow.ts';
import { TcpFlow } from '../forward/tcpflow.ts';
import type { Arrival } from './accept.ts';
import { Accepted } from './accepted.ts';
import { Admission } from './admission.ts';
import { Preamble } from './preamble.ts';
import type { ServerOptions } from './server.ts';
import type { Terms } from './terms.ts';

/** A connection that was plain before its TLS began. It counts as its preamble until the handshake is done. */
interface Upgrade {
  readonly preamble: Preamble;
  readonly origin: Origin;
  /** '' when it was not looked for, or there is none. */
  readonly serverName: string;
  /** What the host of the name wants of the handshake; null: what the listener says. */
  readonly terms: Terms | null;
  /** The plain socket. */
  readonly accepted: Accepted;
}

type Begin = (socket: Socket, admission: Admission, terms: Terms | null) => void;

/**
 * Connections of an https listener that are looked into before TLS begins: for a PROXY header, for the server names that L4
 * routes take, or for those whose hosts have terms of their own. What no route takes goes on to TLS as if nothing had
 * happened, with the bytes that were read pushed back.
 */
export class TlsUpgrades {
  readonly #options: ServerOptions;
  readonly #begin: Begin;
  readonly #bySocket = new WeakMap<Socket, Upgrade>();

  /** @param begin begins TLS on a socket; what closes it is then told to the admission */
  constructor(options: ServerOptions, begin: Begin) {
    this.#options = options;
    this.#begin = begin;
  }

  /** @returns false when TLS begins at once: nothing of it is asked for */
  take({ handle, source }: Arrival): boolean {
    const { engine, gate, listenerId, opened, replaced } = this.#options;
    const door = this.#options.door();
    const wantsName = engine.tables.hasServerNames(listenerId) || engine.tables.hasTerms(listenerId);
    if (door.proxy === null && !wantsName) return false;
    const accepted = Accepted.ofHandle(handle);
    const { socket } = accepted;
    const admission = new Admission(gate, source);
    const left = () => admission.left();
    socket.on('close', left);
    const preamble = new Preamble({
      engine,
      door,
      accepted,
      admission,
      wantsName,
      replace: replaced,
      done: (origin, serverName, buffer, start, end) => {
        socket.pause();
        const held = Buffer.from(buffer.subarray(start, end));
        const route = wantsName ? engine.tables.matchL4(listenerId, serverName) : null;
        if (route === null) {
          const terms = wantsName ? engine.tables.terms(listenerId, serverName) : null;
          this.#bySocket.set(socket, { preamble, origin, serverName, terms, accepted });
          // node:tls takes what a socket has buffered for what came first.
          if (held.length > 0) socket.unshift(held);
          socket.removeListener('close', left);
          this.#begin(socket, admission, terms);
          return;
        }
        admission.ready();
        const flow = new TcpFlow(engine, { door, accepted, origin, serverName, route, held });
        replaced(preamble, flow);
        flow.begin();
      },
    });
    opened(preamble);
    preamble.begin();
    return true;
  }

  /** undefined: TLS was the first that came on this socket. */
  of(socket: Socket): Upgrade | undefined {
    return this.#bySocket.get(socket);
  }
}
