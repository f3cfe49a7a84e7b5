import { setTimeout as sleep } from 'node:timers/promises';

/** A token bucket: `burst` at once, then `perSecond`. */
export class Pace {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAtMs = performance.now();

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Resolves when one more may be done; at once, and in vain, when aborted. */
  async take(signal: AbortSignal): Promise<void> {
    const nowMs = performance.now();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * this.#perSecond);
    this.#filledAtMs = nowMs;
    this.#tokens--;
    if (this.#tokens >= 0) return;
    await sleep((-this.#tokens / this.#perSecond) * 1000, undefined, { signal }).catch(() => undefined);
  }
}
