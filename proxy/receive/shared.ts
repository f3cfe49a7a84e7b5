interface Shared<T> {
  readonly value: T;
  readonly content: string;
  users: number;
}

/** Values made from content, equal ones once; new content makes a new one, and the old one goes with its last user. */
export class SharedByContent<T extends { isGone: boolean }> {
  readonly #byContent = new Map<string, Shared<T>>();
  readonly #byUser = new Map<string, Shared<T>>();
  readonly #onGone: (value: T) => void;

  constructor(onGone: (value: T) => void) {
    this.#onGone = onGone;
  }

  /** @param content null: the user needs none any more */
  use(user: string, content: null, make: null): null;
  use(user: string, content: string, make: () => T): T;
  use(user: string, content: string | null, make: (() => T) | null): T | null {
    const before = this.#byUser.get(user);
    const after = content === null || make === null ? undefined : this.#shared(content, make);
    if (after === before) return before?.value ?? null;
    if (after !== undefined) {
      after.users++;
      this.#byUser.set(user, after);
    } else {
      this.#byUser.delete(user);
    }
    if (before !== undefined && --before.users === 0) {
      this.#byContent.delete(before.content);
      before.value.isGone = true;
      this.#onGone(before.value);
    }
    return after?.value ?? null;
  }

  #shared(content: string, make: () => T): Shared<T> {
    let shared = this.#byContent.get(content);
    if (shared === undefined) {
      shared = { value: make(), content, users: 0 };
      this.#byContent.set(content, shared);
    }
    return shared;
  }
}
