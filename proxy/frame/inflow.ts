import { plainWindowBytes } from './codes.ts';
import type { SessionLimits } from './owner.ts';
import type { Sender } from './sender.ts';
import type { Stream } from './stream.ts';

/** Flow control of what comes in (RFC 9113 §6.9): how much the peer may send, and when it is told that it may send more. */
export class Inflow<T> {
  readonly #sender: Sender<T>;
  readonly #limits: SessionLimits;
  /** Bytes that the peer may still send on the connection. */
  #window = plainWindowBytes;
  #untold = 0;
  /** What the windows of all streams have grown by. */
  #grown = 0;

  constructor(sender: Sender<T>, limits: SessionLimits) {
    this.#sender = sender;
    this.#limits = limits;
  }

  /** Opens the connection's window, which no setting can. */
  start(): void {
    const more = this.#limits.connectionWindowBytes - plainWindowBytes;
    if (more <= 0) return;
    this.#window += more;
    this.#sender.windowUpdate(0, more);
  }

  /** @returns false when the peer sends more than it may */
  take(bytes: number): boolean {
    this.#window -= bytes;
    return this.#window >= 0;
  }

  /** Bytes that came are out of the way. */
  refund(bytes: number): void {
    if (bytes === 0) return;
    this.#untold += bytes;
    // Not in small pieces; but beside streams that rest the peer may have less than that to go on with.
    if (this.#untold * 2 < this.#limits.connectionWindowBytes && this.#untold < this.#window) return;
    this.#window += this.#untold;
    this.#sender.windowUpdate(0, this.#untold);
    this.#untold = 0;
  }

  /** Bytes of a stream are out of the way, which is still to send some. */
  refundStream(stream: Stream<T>, bytes: number): void {
    this.refund(bytes);
    if (stream.isRemoteClosed) return;
    stream.untold += bytes;
    if (stream.untold * 2 < stream.windowBytes) return;
    // What is still to come fits: the peer needs to know of no more room. But behind a window that is shut nghttp2 does not even say
    // that it was all, though a frame without bytes needs none (RFC 9113 §6.9.1).
    if (stream.expected !== -1 && !stream.isPadded && stream.expected < stream.receiveWindow) return;
    let increment = stream.untold;
    // A window is one round trip's worth of bytes: where the reader takes them as they come, more is let on the way.
    if (stream.unconsumed * 4 <= stream.windowBytes) {
      const more = this.#growthOf(stream);
      this.#grown += more;
      stream.windowBytes += more;
      increment += more;
    }
    stream.receiveWindow += increment;
    stream.untold = 0;
    this.#sender.windowUpdate(stream.id, increment);
  }

  /** The stream is over. What of it nobody read is out of the way. */
  forget(stream: Stream<T>): void {
    this.#grown -= stream.windowBytes - this.#limits.streamWindowBytes;
    this.refund(stream.unconsumed);
  }

  /**
   * Twice what it was, as far as the windows of all leave three quarters of the connection's. A reader that was fast may come to
   * rest, and two of them would otherwise keep all other streams waiting (RFC 9113 §5.2.2).
   */
  #growthOf({ windowBytes }: Stream<T>): number {
    const { mostStreamWindowBytes, connectionWindowBytes } = this.#limits;
    const left = (connectionWindowBytes >> 2) - this.#grown;
    return Math.max(0, Math.min(windowBytes, mostStreamWindowBytes - windowBytes, left));
  }
}
