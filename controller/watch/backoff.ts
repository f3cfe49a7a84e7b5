/** As client-go's reflector: 800 ms, doubled up to 30 s, jittered by up to as much again, forgotten after 2 min of health. */
const firstMs = 800;
const healthyMs = 120_000;

/** No answer at all: a refused connection costs the server nothing, and when it is back, waiting 30 s more is too long. */
export const unreachableLimitMs = 5_000;
/** The server answered that it cannot, or will not. */
export const answeredLimitMs = 30_000;

export class Backoff {
  readonly #random: () => number;
  #baseMs = firstMs;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** How long to wait before the next attempt. `askedMs`: what the server asked for (Retry-After), taken as the least. */
  nextMs(limitMs: number, askedMs: number | null): number {
    const delayMs = Math.min(this.#baseMs, limitMs) * (1 + this.#random());
    // An hour without an answer is no reason to stay away for half a minute after the first, which says: not yet.
    if (this.#baseMs < limitMs) this.#baseMs = Math.min(this.#baseMs * 2, limitMs);
    return Math.max(delayMs, askedMs ?? 0);
  }

  /** Tells how long the last attempt went well. */
  wasHealthyFor(durationMs: number): void {
    if (durationMs >= healthyMs) this.#baseMs = firstMs;
  }
}
