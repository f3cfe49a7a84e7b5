interface Waiter {
  readonly isDone: () => boolean;
  readonly untilMs: number;
  readonly resolve: () => void;
}

/** Those who wait for what `look` finds to be so, each for a while at most; by a clock of the caller. */
export class Waiters {
  #waiters: readonly Waiter[] = [];

  wait(isDone: () => boolean, untilMs: number): Promise<void> {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiters = [...this.#waiters, { isDone, untilMs, resolve }];
    });
  }

  look(nowMs: number): void {
    this.#waiters = this.#waiters.filter(({ isDone, untilMs, resolve }) => {
      if (!isDone() && untilMs > nowMs) return true;
      resolve();
      return false;
    });
  }
}
