/**
 * A clock that stands still while the process does. After a pause, what others have said meanwhile is yet to be read: they
 * must not be thought silent before.
 */
export class AwakeClock {
  readonly #tickMs: number;
  #lastMs = performance.now();
  #awakeMs = 0;

  /** @param tickMs how often `tick` is called */
  constructor(tickMs: number) {
    this.#tickMs = tickMs;
  }

  get nowMs(): number {
    return this.#awakeMs + Math.min(performance.now() - this.#lastMs, 2 * this.#tickMs);
  }

  /** @returns for how long the process has stood still, ms; 0 when it has not */
  tick(): number {
    const nowMs = performance.now();
    const passedMs = nowMs - this.#lastMs;
    this.#lastMs = nowMs;
    this.#awakeMs += Math.min(passedMs, 2 * this.#tickMs);
    return Math.max(0, passedMs - 2 * this.#tickMs);
  }
}
