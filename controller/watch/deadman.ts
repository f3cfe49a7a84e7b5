/** Aborts when nothing has been heard for too long. */
export class DeadMan {
  readonly #abort: AbortController;
  #timer: NodeJS.Timeout;

  constructor(limitMs: number, abort: AbortController) {
    this.#abort = abort;
    this.#timer = this.#begin(limitMs);
  }

  heard(): void {
    this.#timer.refresh();
  }

  /** From now on this much silence is too long. */
  tighten(limitMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = this.#begin(limitMs);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #begin(limitMs: number): NodeJS.Timeout {
    return setTimeout(() => this.#abort.abort(new Error(`nothing heard for ${Math.round(limitMs)} ms`)), limitMs);
  }
}
