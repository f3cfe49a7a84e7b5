import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { mostWaiting } from './handlelink.ts';
import { type Counter, type Link, nobody, type Receiver } from './link.ts';

/** A connection of node:net or node:tls. For those that we open to be secure: node:tls verifies their peers. */
export class SocketLink implements Link {
  receiver: Receiver = nobody;
  counter: Counter | null = null;
  readonly copies = true;
  holdsLent = false;
  isEnding = false;
  fault = '';
  isCutOff = false;
  readonly #socket: Socket;
  /** Writes since the last time that nothing waited. */
  #waiting = 0;
  readonly #written = (): void => {
    if (this.#socket.writableLength > 0) return;
    this.#waiting = 0;
    this.holdsLent = false;
    if (!this.isEnding) this.receiver.emptied();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    // `close` follows. node:tls leaves a connection open that fails after its handshake, and nothing would come of it any more.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.fault = error.code ?? error.message;
      socket.destroy();
    });
    socket.on('data', (bytes: Buffer) => this.receiver.receive(bytes, 0, bytes.length));
    socket.on('end', () => this.receiver.ended());
    socket.on('close', () => {
      this.receiver.closed();
      this.counter?.left();
    });
  }

  /** Why the peer's certificate was not taken; '' when it was, or any would do: what node:tls thinks of it is there then, too. */
  get peerFault(): string {
    const { authorizationError } = this.#socket as Partial<TLSSocket>;
    return authorizationError && String(authorizationError) === this.fault ? this.fault : '';
  }

  readonly roomBytes: number = 0;

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get isFull(): boolean {
    if (this.holdsLent || this.#socket.writableLength === 0) return this.holdsLent;
    return this.#waiting >= mostWaiting || this.#socket.writableNeedDrain;
  }

  get isConnecting(): boolean {
    return this.#socket.connecting;
  }

  get isDestroyed(): boolean {
    return this.#socket.destroyed;
  }

  write(bytes: Buffer): void {
    this.#waiting++;
    this.#socket.write(bytes, this.#written);
  }

  writeText(text: string): void {
    this.#waiting++;
    this.#socket.write(text, 'latin1', this.#written);
  }

  writeLent(before: string, bytes: Buffer, after: string): void {
    this.holdsLent ||= this.#socket.writableLength > 0;
    this.#socket.cork();
    if (before !== '') this.writeText(before);
    this.write(bytes);
    if (after !== '') this.writeText(after);
    this.#socket.uncork();
  }

  end(): void {
    if (this.isEnding) return;
    this.isEnding = true;
    this.#socket.end(() => this.receiver.emptied());
  }

  close(): void {
    this.isEnding = true;
    this.#socket.destroySoon();
  }

  reset(): void {
    this.#socket.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}
