/**
 * How many retries one worker may add to the load: a fifth of the requests, plus a fixed rate so that a quiet gateway may
 * retry, too (Finagle, Linkerd). Without it, retries multiply the load just when the backends cannot take it.
 */
export class RetryBudget {
  readonly #perMs: number;
  readonly #most: number;
  #tokens: number;
  #filledAtMs: number;

  /** @param retriesPerSecond fixed rate */
  constructor(retriesPerSecond: number, nowMs: number) {
    this.#perMs = retriesPerSecond / 1000;
    // Ten seconds' worth may be saved up, as with Linkerd's ttl.
    this.#most = Math.max(10, retriesPerSecond * 10);
    this.#tokens = this.#most;
    this.#filledAtMs = nowMs;
  }

  /** A request was forwarded for the first time. */
  deposit(): void {
    if (this.#tokens < this.#most) this.#tokens += 0.2;
  }

  /** @returns false when the retry must not be made */
  withdraw(nowMs: number): boolean {
    this.#tokens = Math.min(this.#most, this.#tokens + (nowMs - this.#filledAtMs) * this.#perMs);
    this.#filledAtMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
