/**
 * How many retries one worker may add to the load: in any ten seconds a fifth of the requests of that time, plus a fixed
 * rate so that a quiet gateway may retry, too (Finagle, Linkerd). Without it, retries multiply the load just when the
 * backends cannot take it. What was not used in that time may be used at once: when a backend dies, all that it had in
 * flight is tried again in one moment.
 */
export class RetryBudget {
  readonly #reserve: number;
  /** One place for each second of the window, by the second's number modulo ten. */
  readonly #requests = new Float64Array(windowSeconds);
  readonly #retries = new Float64Array(windowSeconds);
  #requestsInWindow = 0;
  #retriesInWindow = 0;
  #second: number;

  /** @param retriesPerSecond fixed rate */
  constructor(retriesPerSecond: number, nowMs: number) {
    this.#reserve = retriesPerSecond * windowSeconds;
    this.#second = secondOf(nowMs);
  }

  /** A request was forwarded for the first time. */
  deposit(nowMs: number): void {
    const place = this.#placeAt(nowMs);
    this.#requests[place] = (this.#requests[place] as number) + 1;
    this.#requestsInWindow++;
  }

  /** @returns false when the retry must not be made */
  withdraw(nowMs: number): boolean {
    const place = this.#placeAt(nowMs);
    if (this.#retriesInWindow + 1 > this.#requestsInWindow * share + this.#reserve) return false;
    this.#retries[place] = (this.#retries[place] as number) + 1;
    this.#retriesInWindow++;
    return true;
  }

  /** Leaves the seconds behind that are not in the window any more. */
  #placeAt(nowMs: number): number {
    const second = secondOf(nowMs);
    for (let steps = Math.min(second - this.#second, windowSeconds); steps > 0; steps--) {
      const place = (second - steps + 1) % windowSeconds;
      this.#requestsInWindow -= this.#requests[place] as number;
      this.#retriesInWindow -= this.#retries[place] as number;
      this.#requests[place] = this.#retries[place] = 0;
    }
    this.#second = Math.max(this.#second, second);
    return this.#second % windowSeconds;
  }
}

const windowSeconds = 10;
const share = 0.2;

function secondOf(nowMs: number): number {
  return Math.floor(nowMs / 1000);
}
