import type { Expiring } from './sweep.ts';

/**
 * Connections whose request head is partly there. Of too many the one that has waited longest is given up, not the newest:
 * the heads of honest clients are whole a round trip later.
 */
export class HalfOpen {
  readonly #waiting = new Set<Expiring>();
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(connection: Expiring, nowMs: number): void {
    this.#waiting.add(connection);
    if (this.#waiting.size <= this.#most) return;
    const [oldest = connection] = this.#waiting;
    this.#waiting.delete(oldest);
    oldest.expired(nowMs);
  }

  delete(connection: Expiring): void {
    this.#waiting.delete(connection);
  }
}
