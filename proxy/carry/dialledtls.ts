import type { TLSSocket } from 'node:tls';
import { SocketLink } from './socketlink.ts';

/** In a second; no server changes its keys more often than every few million records, nor hands out sessions by the hundred. */
const mostMade = 128;
const secondMs = 1_000;

/** The client's side of a TLS connection, of which OpenSSL does some by itself. */
export class DialledTls extends SocketLink {
  readonly #socket: TLSSocket;
  /** Keys and sessions, in the second that began at #sinceMs. */
  #made = 0;
  #sinceMs = 0;

  constructor(socket: TLSSocket) {
    super(socket);
    this.#socket = socket;
    socket.on('session', this.#count);
    // Those of the handshake are nobody's business. What the key is, is not looked at.
    socket.once('secureConnect', () => socket.on('keylog', this.#count));
  }

  /** A KeyUpdate costs 11 µs and a ticket 85, and all that has come are done in one turn: 10 backends took two seconds of everybody. */
  readonly #count = (): void => {
    const nowMs = performance.now();
    if (nowMs - this.#sinceMs > secondMs) {
      this.#sinceMs = nowMs;
      this.#made = 0;
    }
    if (++this.#made > mostMade) this.#socket.destroy(Object.assign(new Error('too many keys'), { code: tooMany }));
  };
}

/** As OpenSSL names it. */
const tooMany = 'ERR_SSL_TOO_MANY_KEY_UPDATES';
