import { type Chain, pickChain, slotChain, stickyChain } from './chains.ts';
import type { Family } from './sets.ts';

/**
 * The chains that choose one of so many endpoints: one for each number that a list of the plan has, whoever the list is of.
 * They are made when they are first needed and stay.
 */
export class Choosers {
  readonly #chainsByName = new Map<string, Chain>();
  #fresh: Chain[] = [];
  #slots = 0;

  /** @returns the name of a chain that chooses any of `count` endpoints */
  pick(count: number): string {
    return this.#need(`pick_${count}`, count, () => pickChain(count));
  }

  /** @returns the name of a chain that keeps clients with the endpoint that they have */
  stick(family: Family, count: number, timeoutSeconds: number): string {
    return this.#need(`sticky${family}_${count}_${timeoutSeconds}`, count, () =>
      stickyChain(family, count, timeoutSeconds),
    );
  }

  /** Chains that are new since the last call. */
  takeFresh(): readonly Chain[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  all(): readonly Chain[] {
    return [...this.#chainsByName.values()];
  }

  #need(name: string, count: number, make: () => Chain): string {
    while (this.#slots < count) this.#add(slotChain(++this.#slots));
    if (!this.#chainsByName.has(name)) this.#add(make());
    return name;
  }

  #add(chain: Chain): void {
    this.#chainsByName.set(chain.name, chain);
    this.#fresh.push(chain);
  }
}
