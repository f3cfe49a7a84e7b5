import { isDeepStrictEqual } from 'node:util';
import type { Problem } from '#table/problem.ts';
import { compareProblems } from './problems.ts';

/** The problems in force, each owned by the step that found it. */
export class ProblemStore {
  readonly #problemsByOwner = new Map<string, readonly Problem[]>();
  #all: readonly Problem[] = [];
  #isStale = false;

  /** @param problems all problems of this owner */
  replace(owner: string, problems: readonly Problem[]): void {
    const before = this.#problemsByOwner.get(owner) ?? [];
    if (isDeepStrictEqual(before, problems)) return;
    if (problems.length === 0) this.#problemsByOwner.delete(owner);
    else this.#problemsByOwner.set(owner, problems);
    this.#isStale = true;
  }

  /** Each once, in a stable order; the same array while nothing changed. */
  all(): readonly Problem[] {
    if (!this.#isStale) return this.#all;
    const sorted = [...this.#problemsByOwner.values()].flat().sort(compareProblems);
    // Two ports of a Service may find the same fault in its slices.
    this.#all = sorted.filter((one, index) => {
      const before = sorted[index - 1];
      return before === undefined || compareProblems(before, one) !== 0;
    });
    this.#isStale = false;
    return this.#all;
  }
}
