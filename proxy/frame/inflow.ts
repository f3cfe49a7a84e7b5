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
    this.#untold += bytes;
    if (this.#untold * 2 < this.#limits.connectionWindowBytes) return;
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
    // What is still to come fits: the peer needs to know of no more room.
    if (stream.expected !== -1 && !stream.isPadded && stream.expected <= stream.receiveWindow) return;
    let increment = stream.untold;
    // A window is one round trip's worth of bytes: where the reader takes them as they come, more is let on the way.
    const most = this.#limits.mostStreamWindowBytes;
    if (stream.unconsumed * 4 <= stream.windowBytes && stream.windowBytes < most) {
      const grown = Math.min(most, stream.windowBytes * 2);
      increment += grown - stream.windowBytes;
      stream.windowBytes = grown;
    }
    stream.receiveWindow += increment;
    stream.untold = 0;
    this.#sender.windowUpdate(stream.id, increment);
  }
}
