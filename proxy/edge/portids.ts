import { maxPortId } from './key.ts';

/**
 * Gives ports of Services their numbers. A number that was given back is not given out again before all others: the kernel
 * may remember clients by it. Should it meet one that is in use again, that client's choice is void or as good as a new one,
 * because every key that it can lead to is the new owner's.
 */
export class PortIds {
  readonly #idsByOwner = new Map<string, number>();
  readonly #taken = new Set<number>();
  #last: number;

  /** @param remembered numbers of a former life: they are for those who had them */
  constructor(remembered: Iterable<number>) {
    this.#last = [...remembered].reduce((last, id) => Math.max(last, id), 0);
  }

  /** @param wanted the number that it had in a former life; null: whichever is next. @returns null when there are no more */
  take(owner: string, wanted: number | null): number | null {
    const own = this.#idsByOwner.get(owner);
    if (own !== undefined) return own;
    const id = wanted !== null && !this.#taken.has(wanted) ? wanted : this.#next();
    if (id === null) return null;
    this.#idsByOwner.set(owner, id);
    this.#taken.add(id);
    return id;
  }

  /** @returns the number that it has; null when it has none */
  of(owner: string): number | null {
    return this.#idsByOwner.get(owner) ?? null;
  }

  /** @returns the number that it had; null when it had none */
  release(owner: string): number | null {
    const id = this.#idsByOwner.get(owner);
    if (id === undefined) return null;
    this.#idsByOwner.delete(owner);
    this.#taken.delete(id);
    return id;
  }

  #next(): number | null {
    if (this.#taken.size >= maxPortId) return null;
    do this.#last = (this.#last % maxPortId) + 1;
    while (this.#taken.has(this.#last));
    return this.#last;
  }
}
