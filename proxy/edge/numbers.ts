/**
 * The numbers of the endpoints of one affinity list. An endpoint keeps its number for as long as it is in the list, whoever
 * comes and goes beside it, because clients are remembered by it.
 */
export class Numbers {
  #byTarget: Map<string, number>;
  #last: number;

  /** @param former what the kernel remembers from a former life */
  constructor(former: ReadonlyMap<string, number> | undefined) {
    this.#byTarget = new Map(former);
    this.#last = Math.max(0, ...this.#byTarget.values());
  }

  /**
   * @param targets at most `max`
   * @returns the number of each, from 1 to `max`
   */
  follow(targets: readonly string[], max: number): ReadonlyMap<string, number> {
    const kept = new Map<string, number>();
    for (const target of targets) {
      const number = this.#byTarget.get(target);
      if (number !== undefined) kept.set(target, number);
    }
    const taken = new Set(kept.values());
    for (const target of targets) {
      if (kept.has(target)) continue;
      // A number that has just become free would lead its clients, all of them, to the newcomer.
      do this.#last = (this.#last % max) + 1;
      while (taken.has(this.#last));
      taken.add(this.#last);
      kept.set(target, this.#last);
    }
    this.#byTarget = kept;
    return kept;
  }
}
