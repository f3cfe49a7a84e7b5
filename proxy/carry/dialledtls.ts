import type { TLSSocket } from 'node:tls';
import { endedByFin } from './handle.ts';
import { SocketLink } from './socketlink.ts';
import { talkers } from './talkers.ts';

/** In a second; no server changes its keys more often than every few million records, nor hands out sessions by the hundred. */
const mostMade = 128;
const secondMs = 1_000;

/** What OpenSSL takes for one, and Node for it, without V8's knowing (52 to 70 KB seen with Node 26). */
const dialledBytes = 50_000;

/** The client's side of a TLS connection, of which OpenSSL does some by itself. */
export class DialledTls extends SocketLink {
  override readonly roomBytes = dialledBytes;
  readonly #socket: TLSSocket;
  /** Keys and sessions, in the second that began at #sinceMs. */
  #made = 0;
  #sinceMs = 0;
  /** What its handshake is still to take. */
  #promisedBytes = dialledBytes;

  constructor(socket: TLSSocket) {
    super(socket);
    this.#socket = socket;
    hearOut(socket);
    talkers.roomBytes += dialledBytes;
    talkers.promisedBytes += this.#promisedBytes;
    socket.once('close', () => {
      talkers.roomBytes -= dialledBytes;
      this.#keepPromise();
    });
    socket.on('session', this.#count);
    // Those of the handshake are nobody's business. What the key is, is not looked at.
    socket.once('secureConnect', () => {
      socket.on('keylog', this.#count);
      this.#keepPromise();
    });
  }

  /**
   * The peer has to say that it ends: anybody on the way can send FIN, and cut off what has no other end (RFC 9112 §9.8).
   */
  expectGoodbye(): void {
    const socket = this.#socket;
    const push = socket.push.bind(socket);
    socket.push = (bytes, encoding) => {
      if (bytes === null) this.isCutOff = endedByFin(socket);
      return push(bytes, encoding);
    };
  }

  #keepPromise(): void {
    talkers.promisedBytes -= this.#promisedBytes;
    this.#promisedBytes = 0;
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

/**
 * A server that answers early and closes resets what it has not read: its answer lies here, ahead of the reset (RFC 9112 §9.6),
 * and node:tls would take nothing more once it knows of the write that failed. What lies here is read within one turn of the loop.
 */
function hearOut(socket: TLSSocket): void {
  const write = socket._write.bind(socket);
  const writev = socket._writev?.bind(socket);
  socket._write = (chunk, encoding, done) => write(chunk, encoding, afterReading(done));
  if (writev !== undefined) socket._writev = (chunks, done) => writev(chunks, afterReading(done));
}

type Done = (error?: Error | null) => void;

function afterReading(done: Done): Done {
  return (error) => {
    // The first may come in this turn, before the socket has been looked at.
    if (error) setImmediate(setImmediate, done, error);
    else done();
  };
}
