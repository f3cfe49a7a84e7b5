import type { Log } from '#kit/log.ts';
import type { Problem } from '#table/problem.ts';

/** Writes each problem once when it appears, and once when it is gone; not again with every table. */
export class ProblemLog {
  readonly #log: Log;
  #last: readonly Problem[] = [];
  #told = new Map<string, Problem>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** All problems that there are now. */
  report(problems: readonly Problem[]): void {
    if (problems === this.#last) return;
    this.#last = problems;
    const now = new Map(problems.map((problem) => [JSON.stringify(problem), problem]));
    for (const [key, { code, severity, source, message, hint }] of now) {
      if (!this.#told.has(key)) this.#log.warn({ code, severity, source, hint }, message);
    }
    for (const [key, { code, source }] of this.#told) {
      if (!now.has(key)) this.#log.info({ code, source }, 'problem solved');
    }
    this.#told = now;
  }
}
