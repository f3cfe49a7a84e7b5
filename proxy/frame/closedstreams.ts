/** How a stream that is gone went. */
export const closings = {
  /** It is not remembered: skipped, or long gone. */
  unknown: 0,
  /** Both sides ended it. */
  ended: 1,
  /** The peer reset it. */
  byPeer: 2,
  /** We did: what the peer had already sent is on its way (RFC 9113 §5.1). */
  byUs: 3,
} as const;

const remembered = 64;

/**
 * What became of the last streams: a frame that comes for one means something else in each case. Resets are remembered
 * apart, because the many streams that end well would push them out.
 */
export class ClosedStreams {
  readonly #ended = new Uint32Array(remembered);
  readonly #reset = new Uint32Array(remembered);
  #endedCount = 0;
  #resetCount = 0;
  /** The highest that we reset and do not remember apart: a hundred may go at once, and what was on its way comes for each. */
  #lastForgotten = 0;

  ended(id: number): void {
    this.#ended[this.#endedCount++ & (remembered - 1)] = id;
  }

  /** @param how byPeer or byUs */
  reset(id: number, how: number): void {
    const place = this.#resetCount++ & (remembered - 1);
    const before = this.#reset[place] as number;
    // Ids have 31 bits: the top one tells who.
    if (before > 0x80000000) this.#lastForgotten = Math.max(this.#lastForgotten, before - 0x80000000);
    this.#reset[place] = how === closings.byUs ? id | 0x80000000 : id;
  }

  howOf(id: number): number {
    if (this.#ended.includes(id)) return closings.ended;
    // A stream that the peer reset may be reset by us afterwards, when more comes on it.
    if (this.#reset.includes(id)) return closings.byPeer;
    if (id <= this.#lastForgotten) return closings.byUs;
    return this.#reset.includes((id | 0x80000000) >>> 0) ? closings.byUs : closings.unknown;
  }
}
