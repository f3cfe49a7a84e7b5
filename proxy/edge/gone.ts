import type { Transaction } from './transaction.ts';

/**
 * UDP endpoints that went, as the kernel has to know them: flows that were given to one are sent elsewhere. It forgets each
 * after a while by itself, of which nothing is heard here; so what it holds is never more than this.
 */
export class Gone {
  /** The oldest first. */
  readonly #elements: Set<string>;

  /** @param recalled what the kernel holds of a former life */
  constructor(recalled: readonly string[]) {
    this.#elements = new Set(recalled.slice(-mostGone));
  }

  /** @param went elements that are in no list any more. @param back those that are in one again */
  note(went: readonly string[], back: readonly string[], transaction: Transaction): void {
    for (const element of back) if (this.#elements.delete(element)) transaction.clear(element);
    const fresh = went.slice(-mostGone);
    let surplus = this.#elements.size + fresh.length - mostGone;
    for (const oldest of this.#elements) {
      if (surplus-- <= 0) break;
      this.#elements.delete(oldest);
      transaction.clear(oldest);
    }
    for (const element of fresh) {
      this.#elements.add(element);
      transaction.add(element, `timeout ${rememberedFor}`);
    }
  }

  /** For a table whose sets have been emptied. */
  all(transaction: Transaction): void {
    for (const element of this.#elements) transaction.add(element, `timeout ${rememberedFor}`);
  }
}

/** Half of what the set takes: what is cleared, and had been forgotten, is in it for a moment once more. */
const mostGone = 32_768;
/** The kernel forgets an idle UDP flow after two minutes; who has tuned it to more than this has other worries. */
const rememberedFor = '600s';
