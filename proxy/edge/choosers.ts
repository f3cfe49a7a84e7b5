import { type Chain, pickChain, slotChain, stickyChain } from './chains.ts';
import type { Family } from './sets.ts';

/**
 * The chains that choose one of so many endpoints: one for each number that a list of the plan has, whoever the list is of.
 * They are made when they are first needed. Those that no list goes to any more are removed, later and apart from changes: how
 * long a list is, and how long its clients stay, is for tenants to say, and to change as often as they like.
 */
export class Choosers {
  readonly #chainsByName = new Map<string, Chain>();
  readonly #slots: Chain[] = [];
  #fresh: Chain[] = [];
  /** How many lists go to each. */
  readonly #users = new Map<string, number>();
  readonly #idle: Set<string>;

  /** @param recalled names of those that a table has from a former life */
  constructor(recalled: readonly string[]) {
    this.#idle = new Set(recalled);
  }

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

  /** Lists go to them from now on, one for each time that a name is there. */
  use(names: readonly string[]): void {
    for (const name of names) {
      this.#users.set(name, (this.#users.get(name) ?? 0) + 1);
      this.#idle.delete(name);
    }
  }

  /** The reverse of `use`. */
  leave(names: readonly string[]): void {
    for (const name of names) {
      const count = (this.#users.get(name) ?? 0) - 1;
      if (count > 0) this.#users.set(name, count);
      else this.#users.delete(name);
    }
  }

  /** Chains that no list goes to, and none has since `lookForIdle`. */
  get idle(): readonly string[] {
    return [...this.#idle];
  }

  /** To be called now and then: kernels before 6.2 notice only after a while that a list does not go to a chain any more. */
  lookForIdle(): void {
    for (const name of this.#chainsByName.keys()) if (!this.#users.has(name)) this.#idle.add(name);
  }

  /** The table has them no more. */
  forget(names: readonly string[]): void {
    for (const name of names) {
      this.#chainsByName.delete(name);
      this.#idle.delete(name);
    }
  }

  /** Chains that are new since the last call. */
  takeFresh(): readonly Chain[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  all(): readonly Chain[] {
    return [...this.#slots, ...this.#chainsByName.values()];
  }

  #need(name: string, count: number, make: () => Chain): string {
    while (this.#slots.length < count) {
      const slot = slotChain(this.#slots.length + 1);
      this.#slots.push(slot);
      this.#fresh.push(slot);
    }
    if (!this.#chainsByName.has(name)) {
      const chain = make();
      this.#chainsByName.set(name, chain);
      this.#fresh.push(chain);
    }
    return name;
  }
}

/** Whether a chain of a table is one of these. */
export function isChooser(name: string): boolean {
  return /^(pick|sticky[46])_/.test(name);
}
