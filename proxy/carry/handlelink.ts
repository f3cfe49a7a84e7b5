import { getSystemErrorName } from 'node:util';
import {
  endOfFile,
  lastRead,
  lastWriteError,
  newShutdown,
  type SocketName,
  type StreamHandle,
  type TcpHandle,
  type WriteRequest,
} from './handle.ts';
import { type Counter, type Link, nobody, type Receiver } from './link.ts';

/** A longer write that waits makes a connection full; what is not longer is copied, even where it is lent (relay.ts). */
export const shortBytes = 16_384;

/**
 * As many writes that wait make a connection full, too, few as their bytes may be: each is a buffer of its own, 240 bytes for one. A
 * peer that drips towards one that does not read cost 4 MB.
 */
export const mostWaiting = 128;

/** A TCP connection on Node's own handle. One write is on its way at a time; what comes meanwhile follows in one piece. */
export class HandleLink implements Link {
  receiver: Receiver = nobody;
  counter: Counter | null = null;
  unsentBytes = 0;
  isFull = false;
  holdsLent = false;
  isConnecting = false;
  isEnding = false;
  isDestroyed = false;
  fault = '';
  readonly isCutOff = false;
  readonly #handle: TcpHandle;
  /** What is read and written: the handle, or TLS upon it. This reference is what keeps TLS alive. */
  protected readonly stream: StreamHandle;
  readonly #shared: Buffer;
  /** Where the next read goes, kept alive by this reference alone. */
  #buffer: Buffer;
  #isReading = false;
  #hasEnded = false;
  /** The kernel was asked for FIN. */
  protected isShutting = false;
  #hasShut = false;
  #closesWhenShut = false;
  /** The write that is on its way. */
  #writing: WriteRequest | null = null;
  /** Behind it. */
  #waiting: Buffer[] = none;

  /**
   * Nothing is read before resume().
   *
   * @param stream the handle itself, or TLS upon it
   * @param shared where reads go that the receiver has no chunk for
   */
  constructor(handle: TcpHandle, stream: StreamHandle, shared: Buffer) {
    this.#handle = handle;
    this.stream = stream;
    this.#shared = this.#buffer = shared;
    // The open handle is kept by Node, and keeps its owner.
    handle.owner = this;
    stream.owner = this;
    stream.onread = onRead;
    stream.useUserBuffer(shared);
  }

  get copies(): boolean {
    return false;
  }

  /** Above it the link is full. */
  protected get mostUnsentBytes(): number {
    return shortBytes;
  }

  get roomBytes(): number {
    return 0;
  }

  get peerName(): SocketName {
    const name: SocketName = {};
    this.#handle.getpeername(name);
    return name;
  }

  get ownName(): SocketName {
    const name: SocketName = {};
    this.#handle.getsockname(name);
    return name;
  }

  /** The handle becomes somebody else's, who goes on where this one stopped reading. */
  release(): TcpHandle {
    this.pause();
    this.isDestroyed = true;
    this.receiver = nobody;
    this.counter = null;
    return this.#handle;
  }

  // Reading.

  resume(): void {
    if (this.#isReading || this.isDestroyed || this.#hasEnded || this.isConnecting) return;
    this.#isReading = true;
    if (!this.isHeld) this.#startReading();
  }

  /** libuv takes it for a failure when it reads already. */
  #startReading(): void {
    const errno = this.stream.readStart();
    if (errno !== 0) this.fail(errno);
  }

  pause(): void {
    if (!this.#isReading || this.isDestroyed) return;
    this.#isReading = false;
    this.stream.readStop();
  }

  /** Between hold() and letGo() nothing is read, whoever resumes it or does not. */
  protected get isHeld(): boolean {
    return false;
  }

  hold(): void {
    if (this.#isReading && !this.isDestroyed) this.stream.readStop();
  }

  letGo(): void {
    if (this.#isReading && !this.isDestroyed) this.#startReading();
  }

  /** @returns where the next read goes; undefined: where this one went */
  read(count: number): Buffer | undefined {
    if (this.isDestroyed || count === 0) return undefined;
    if (count > 0) {
      this.receiver.receive(this.#buffer, 0, count);
      const next = this.chunk ?? this.#shared;
      if (next === this.#buffer) return undefined;
      this.#buffer = next;
      return next;
    }
    if (count !== endOfFile) this.fail(count);
    // What has come before the reset is read; it is no orderly end.
    else if (this.fault !== '') this.destroy();
    else if (!this.#hasEnded) {
      this.#hasEnded = true;
      this.#isReading = false;
      this.receiver.ended();
      if (this.#hasShut) this.destroy();
    }
    return undefined;
  }

  protected get chunk(): Buffer | null {
    return this.receiver.chunk;
  }

  // Writing.

  write(bytes: Buffer): void {
    if (this.isDestroyed || this.isEnding || bytes.length === 0) return;
    if (this.#writing !== null) this.#wait(bytes);
    else this.#dispatched(this.stream.writeBuffer(null, bytes), bytes, bytes.length);
  }

  writeText(text: string): void {
    if (this.isDestroyed || this.isEnding || text === '') return;
    if (this.#writing !== null) this.#wait(Buffer.from(text, 'latin1'));
    else this.#dispatched(this.stream.writeLatin1String(null, text), text, text.length);
  }

  writeLent(before: string, bytes: Buffer, after: string): void {
    if (this.isDestroyed || this.isEnding) return;
    if (this.#writing !== null) {
      this.writeText(before);
      this.write(bytes);
      this.writeText(after);
      this.isFull = this.holdsLent = true;
      return;
    }
    if (before === '' && after === '') {
      this.write(bytes);
    } else {
      const chunks = [before, 'latin1', bytes, 'buffer', after, 'latin1'];
      const length = before.length + bytes.length + after.length;
      this.#dispatched(this.stream.writev(null, chunks, false), chunks, length);
    }
    if (this.#writing !== null && !this.copies) this.isFull = this.holdsLent = true;
  }

  #wait(bytes: Buffer): void {
    if (this.#waiting === none) this.#waiting = [bytes];
    else this.#waiting.push(bytes);
    this.#count(bytes.length);
    if (this.#waiting.length >= mostWaiting) this.isFull = true;
  }

  #count(bytes: number): void {
    this.unsentBytes += bytes;
    if (this.unsentBytes > this.mostUnsentBytes) this.isFull = true;
  }

  #dispatched(result: number | WriteRequest, data: WriteRequest['data'], length: number): void {
    if (typeof result === 'number') {
      if (result !== 0) this.#unwritable(result, length);
      return;
    }
    const errno = lastWriteError();
    if (errno !== 0) {
      this.#unwritable(errno, length);
      return;
    }
    const status = result.writeStatus;
    if (status !== null) {
      if (status !== 0) this.#unwritable(status, length);
      return;
    }
    result.handle = this.stream;
    result.data = data;
    result.oncomplete = onWritten;
    this.#writing = result;
    this.#count(length);
  }

  written(status: number): void {
    if (this.isDestroyed) return;
    this.#writing = null;
    if (status < 0) {
      this.#unwritable(status, 0);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = none;
    this.unsentBytes = 0;
    if (waiting !== none) {
      const length = waiting.reduce((sum, bytes) => sum + bytes.length, 0);
      this.#dispatched(this.stream.writev(null, waiting, true), waiting, length);
      if (this.copies) this.holdsLent = false;
      if (this.#writing !== null || this.isDestroyed || this.fault !== '') return;
    }
    this.isFull = this.holdsLent = false;
    if (this.isEnding) this.#askForFin();
    else this.receiver.emptied();
  }

  // Its end.

  end(): void {
    if (this.isDestroyed || this.isEnding) return;
    this.isEnding = true;
    if (this.#writing === null) this.#askForFin();
  }

  close(): void {
    this.#closesWhenShut = true;
    if (this.#hasShut || (this.#writing === null && !this.saysGoodbye)) this.destroy();
    else this.end();
  }

  /** FIN is not all that the peer is told at the end: the kernel's close() does not suffice. */
  protected get saysGoodbye(): boolean {
    return false;
  }

  #askForFin(): void {
    this.isShutting = true;
    const errno = this.stream.shutdown(newShutdown(this.stream, onShutDown));
    // The peer is gone.
    if (errno < 0) this.destroy();
    else if (errno > 0) this.#hasShut = true;
    if (this.#hasShut && (this.#closesWhenShut || this.#hasEnded)) this.destroy();
  }

  /** FIN is sent. */
  finSent(): void {
    if (this.isDestroyed) return;
    this.#hasShut = true;
    if (this.#closesWhenShut || this.#hasEnded) this.destroy();
    else this.receiver.emptied();
  }

  reset(): void {
    if (this.isDestroyed) return;
    if (!this.#hasReset()) this.#handle.close(onClosed);
    this.#forget();
  }

  /** Of a link that is full the peer cannot have all any more, and the kernel would go on offering what it holds to one that takes nothing. */
  destroy(): void {
    if (this.isDestroyed) return;
    if (!this.isFull || !this.#hasReset()) this.#handle.close(onClosed);
    this.#forget();
  }

  /** libuv resets only a socket that was not shut down; the try would leave the descriptor open, spinning. */
  #hasReset(): boolean {
    return !this.isShutting && !this.isConnecting && this.#handle.reset(onClosed) === 0;
  }

  #forget(): void {
    this.isDestroyed = true;
    this.#waiting = none;
    // libuv looks at it no more, but has the handle and its writes until the end of the turn, which may be seconds and gigabytes away.
    if (this.#writing !== null) this.#writing.data = none;
    this.#buffer = this.#shared;
  }

  /** @param errno of libuv */
  fail(errno: number): void {
    if (this.isDestroyed) return;
    this.fault = getSystemErrorName(errno);
    this.destroy();
  }

  /**
   * The peer takes no more. @param errno of libuv
   * @param length bytes that were to be written now, and are not counted yet
   */
  #unwritable(errno: number, length: number): void {
    const fault = getSystemErrorName(errno);
    if (!this.hearsOut || this.#hasEnded || !resets.has(fault)) {
      this.fail(errno);
      return;
    }
    this.fault = fault;
    this.isEnding = true;
    this.unsentBytes += length;
    this.#waiting = none;
  }

  /**
   * Of a peer that takes no more, what has come before is read all the same: the end that follows ends it. After its FIN nothing
   * follows, and nobody would be told.
   */
  protected get hearsOut(): boolean {
    return false;
  }

  /** The handle is closed. */
  gone(): void {
    this.unsentBytes = 0;
    this.holdsLent = false;
    this.receiver.closed();
    this.receiver = nobody;
    this.counter?.left();
    this.counter = null;
  }
}

const none: Buffer[] = [];

/** The peer's end of the connection is gone: reading ends for sure. */
const resets: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET']);

function onRead(this: StreamHandle): Buffer | undefined {
  return (this.owner as HandleLink).read(lastRead());
}

function onWritten(this: WriteRequest, status: number): void {
  (this.handle.owner as HandleLink).written(status);
}

function onShutDown(this: { readonly handle: StreamHandle }): void {
  (this.handle.owner as HandleLink).finSent();
}

function onClosed(this: TcpHandle): void {
  (this.owner as HandleLink).gone();
}
