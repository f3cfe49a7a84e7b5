/** What honest clients of one address need in a tenth of a second. */
export const few = 8;

/** What a tenth of a second has shown. */
export interface Period {
  /** How long one who connects now waits, ms (pressure.ts). */
  readonly waitMs: number;
  /** The most connections that one source has tried to open. */
  readonly mostFresh: number;
  /** Connections that were turned away because of the allowance. */
  readonly turnedAway: number;
}

/**
 * How many connections one source may open in a tenth of a second, while the worker has more to do than it can.
 *
 * It is lowered until waits are short again, and then raised step by step: the heaviest sources are cut to the same size,
 * the others do not notice (what fair queueing calls max-min). What is turned away costs a hundredth of a TLS handshake, so
 * that nearly all of the capacity stays with those who are served.
 *
 * Established connections are not touched: a client waits for its answer before it asks again, so they slow down by
 * themselves.
 */
export class Throttle {
  /** Infinity while nobody is turned away. */
  allowance = Number.POSITIVE_INFINITY;
  readonly #longWaitMs: number;
  #longPeriods = 0;
  /** The most of one source since waits became long; nobody is cut to less than a few at once. */
  #mostFresh = few + 1;
  #quietPeriods = 0;

  /** @param longWaitMs from which on the worker is overloaded; 0: never */
  constructor(longWaitMs: number) {
    this.#longWaitMs = longWaitMs;
  }

  endPeriod({ waitMs, mostFresh, turnedAway }: Period): void {
    if (this.allowance === Number.POSITIVE_INFINITY) {
      const isLong = this.#longWaitMs > 0 && waitMs >= this.#longWaitMs;
      this.#longPeriods = isLong ? this.#longPeriods + 1 : 0;
      // Who has brought it about may have stopped already: what came before counts as well.
      this.#mostFresh = Math.max(mostFresh, isLong ? this.#mostFresh : few + 1);
      // A table that is applied, a collection of garbage and all clients of a proxy that was replaced make clients wait, too,
      // but are soon over: who waits a little is better off than who is turned away.
      if (this.#longPeriods < patiencePeriods) return;
      this.#lower(this.#mostFresh, waitMs);
      this.#longPeriods = this.#quietPeriods = 0;
      return;
    }
    this.#quietPeriods = turnedAway > 0 ? 0 : this.#quietPeriods + 1;
    if (this.#quietPeriods >= quietPeriods) this.allowance = Number.POSITIVE_INFINITY;
    else if (waitMs > goodWaitMs) this.#lower(this.allowance, waitMs);
    else this.allowance = Math.ceil(this.allowance * 1.25);
  }

  /**
   * By as much as waits are too long: with small steps a long queue would stay for many seconds. Below a few the steps are
   * small: who opens some connections must not pay for the queue that others have left.
   */
  #lower(from: number, waitMs: number): void {
    const lowered = Math.floor(from * Math.min(0.8, Math.max(0.1, goodWaitMs / waitMs)));
    this.allowance = lowered >= few ? lowered : Math.max(1, Math.min(few, from - 1));
  }
}

const patiencePeriods = 10;
/** After so many periods in which nobody was turned away it is over. */
const quietPeriods = 10;
/** Wait that is aimed at while somebody is turned away: so long may a refusal take, ms. */
const goodWaitMs = 5;
