/** Key → set of members: the reverse indexes that tell what a changed object touches. */
export class MultiMap {
  readonly #sets = new Map<string, Set<string>>();

  add(key: string, member: string): void {
    const set = this.#sets.get(key);
    if (set === undefined) this.#sets.set(key, new Set([member]));
    else set.add(member);
  }

  delete(key: string, member: string): void {
    const set = this.#sets.get(key);
    if (set === undefined) return;
    set.delete(member);
    if (set.size === 0) this.#sets.delete(key);
  }

  get(key: string): ReadonlySet<string> {
    return this.#sets.get(key) ?? none;
  }

  keys(): IterableIterator<string> {
    return this.#sets.keys();
  }
}

const none: ReadonlySet<string> = new Set();
