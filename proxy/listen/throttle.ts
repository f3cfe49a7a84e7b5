/** What a tenth of a second has shown. */
export interface Period {
  /** CPU time of a turn of the event loop, mean, ms: what whoever comes now has to wait for, and more when it grows. */
  readonly turnMs: number;
  /** The most connections that one source has tried to open. */
  readonly mostFresh: number;
  /** Connections that were turned away because of the allowance. */
  readonly turnedAway: number;
}

/**
 * How many connections one source may open in a tenth of a second, while the worker has more to do than it can.
 *
 * It is lowered until turns are short again, and then raised step by step: the heaviest sources are cut to the same size,
 * the others do not notice (what fair queueing calls max-min). What is turned away costs a hundredth of a TLS handshake, so
 * that nearly all of the capacity stays with those who are served.
 *
 * Established connections are not touched: a client waits for its answer before it asks again, so they slow down by
 * themselves. CPU time and not the clock: of a worker that is kept from its work by others nobody would gain.
 */
export class Throttle {
  /** Infinity while nobody is turned away. */
  allowance = Number.POSITIVE_INFINITY;
  readonly #longTurnMs: number;
  #longPeriods = 0;
  #quietPeriods = 0;

  /** @param longTurnMs mean turns from which on the worker is overloaded; 0: never */
  constructor(longTurnMs: number) {
    this.#longTurnMs = longTurnMs;
  }

  endPeriod({ turnMs, mostFresh, turnedAway }: Period): void {
    if (this.allowance === Number.POSITIVE_INFINITY) {
      const isLong = this.#longTurnMs > 0 && turnMs >= this.#longTurnMs;
      this.#longPeriods = isLong ? this.#longPeriods + 1 : 0;
      // A table that is applied and a collection of garbage are long turns, too, but soon over.
      if (this.#longPeriods < patiencePeriods) return;
      this.allowance = Math.max(1, Math.floor(mostFresh / 2));
      this.#longPeriods = this.#quietPeriods = 0;
      return;
    }
    this.#quietPeriods = turnedAway > 0 ? 0 : this.#quietPeriods + 1;
    if (this.#quietPeriods >= quietPeriods) this.allowance = Number.POSITIVE_INFINITY;
    else if (turnMs > goodTurnMs) this.allowance = Math.max(1, Math.floor(this.allowance * 0.8));
    else this.allowance = Math.ceil(this.allowance * 1.1);
  }
}

const patiencePeriods = 2;
/** After so many periods in which nobody was turned away it is over. */
const quietPeriods = 10;
/** Turns that are aimed at while somebody is turned away: so long may a refusal take, ms. */
const goodTurnMs = 5;
