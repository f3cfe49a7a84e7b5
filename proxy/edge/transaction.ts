import type { Chain } from './chains.ts';
import { chainsText, table } from './layout.ts';
import type { SetName } from './sets.ts';

/**
 * An element is named by its set and its key, `service4 10.96.0.10 . tcp . 80`; its value is what nft reads behind the key:
 * `: 8000:2000`, or nothing.
 */
export function elementOf(set: SetName, key: string): string {
  return flat([set, key]);
}

/** Joined by spaces. Not a template: V8 would keep every step of putting it together for as long as the text. */
export function flat(parts: readonly (string | number)[]): string {
  return parts.join(' ');
}

/** A change of the table: all of it is in force at once, or nothing. */
export class Transaction {
  readonly #chains: Chain[] = [];
  readonly #removed = new ElementLists('delete');
  readonly #added = new ElementLists('add');
  /** To be out of their sets, whether they are in them or not. */
  readonly #cleared = new ElementLists('add');
  readonly #clearedAgain = new ElementLists('delete');

  addChains(chains: readonly Chain[]): void {
    this.#chains.push(...chains);
  }

  add(element: string, value: string): void {
    this.#added.push(element, value);
  }

  /** Must be there: nft refuses the whole transaction otherwise, which is how a table that others have changed shows. */
  remove(element: string): void {
    this.#removed.push(element, '');
  }

  /** For elements that the kernel may have dropped by itself, when their time was over. */
  clear(element: string): void {
    // Adding what is there is no error, and removing what is not would be one.
    this.#cleared.push(element, '');
    this.#clearedAgain.push(element, '');
  }

  isEmpty(): boolean {
    return [this.#removed, this.#added, this.#cleared].every(({ isEmpty }) => isEmpty) && this.#chains.length === 0;
  }

  /** As nft reads it, in pieces. What is removed goes first: an element that gets another value is removed and added. */
  texts(): string[] {
    const chains = this.#chains.length > 0 ? [chainsText(this.#chains)] : [];
    const lists = [this.#cleared, this.#clearedAgain, this.#removed, this.#added];
    return [...chains, ...lists.flatMap((list) => list.texts())];
  }
}

/**
 * `verb element inet sluice set { …, … }` for each set. Elements become text by the hundred: a plan has hundreds of thousands,
 * and those that are young when they go cost the collector nothing.
 */
class ElementLists {
  readonly #verb: 'add' | 'delete';
  readonly #bySet = new Map<SetName, { readonly pieces: string[]; last: string[] }>();

  constructor(verb: 'add' | 'delete') {
    this.#verb = verb;
  }

  get isEmpty(): boolean {
    return this.#bySet.size === 0;
  }

  push(element: string, value: string): void {
    const end = element.indexOf(' ');
    const set = element.slice(0, end) as SetName;
    const key = element.slice(end + 1);
    let list = this.#bySet.get(set);
    if (list === undefined) {
      list = { pieces: [], last: [] };
      this.#bySet.set(set, list);
    }
    list.last.push(value === '' ? key : `${key} ${value}`);
    if (list.last.length < elementsPerPiece) return;
    list.pieces.push(list.last.join(',\n'));
    list.last = [];
  }

  texts(): string[] {
    const texts: string[] = [];
    for (const [set, { pieces, last }] of this.#bySet) {
      const all = last.length === 0 ? pieces : [...pieces, last.join(',\n')];
      all.forEach((piece, i) => {
        texts.push(i === 0 ? `${this.#verb} element ${table} ${set} { ` : ',\n', piece);
      });
      texts.push(' }\n');
    }
    return texts;
  }
}

const elementsPerPiece = 250;
