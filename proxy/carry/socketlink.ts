import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Counter, type Link, nobody, type Receiver } from './link.ts';

/** A connection of node:tls. For those that we open: node:tls verifies their peers. */
export class SocketLink implements Link {
  receiver: Receiver = nobody;
  counter: Counter | null = null;
  readonly copies = true;
  holdsLent = false;
  isEnding = false;
  fault = '';
  readonly #socket: Socket;
  readonly #written = (): void => {
    if (this.#socket.writableLength > 0) return;
    this.holdsLent = false;
    if (!this.isEnding) this.receiver.emptied();
  };

  constructor(socket: Socket) {
    this.#socket = socket;
    // `close` follows; without a listener the error would end the process.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.fault = error.code ?? error.message;
    });
    socket.on('data', (bytes: Buffer) => this.receiver.receive(bytes, 0, bytes.length));
    socket.on('end', () => this.receiver.ended());
    socket.on('close', () => {
      this.receiver.closed();
      this.counter?.left();
    });
  }

  /** Why the peer's certificate was not taken; '' when it was, or none was looked at. */
  get peerFault(): string {
    const { authorizationError } = this.#socket as Partial<TLSSocket>;
    return authorizationError ? String(authorizationError) : '';
  }

  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  get isFull(): boolean {
    return this.holdsLent || (this.#socket.writableNeedDrain && this.#socket.writableLength > 0);
  }

  get isConnecting(): boolean {
    return this.#socket.connecting;
  }

  get isDestroyed(): boolean {
    return this.#socket.destroyed;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes, this.#written);
  }

  writeText(text: string): void {
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
