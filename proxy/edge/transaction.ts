import type { Chain } from './chains.ts';
import { chainsText, table } from './layout.ts';
import { type SetName, setSpecs } from './sets.ts';

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
  readonly #removed = new Map<string, string[]>();
  readonly #added = new Map<string, string[]>();
  /** To be out of their sets, whether they are in them or not. */
  readonly #cleared = new Map<string, string[]>();

  addChains(chains: readonly Chain[]): void {
    this.#chains.push(...chains);
  }

  add(element: string, value: string): void {
    const [set, key] = split(element);
    push(this.#added, set, value === '' ? key : `${key} ${value}`);
  }

  /** Must be there: nft refuses the whole transaction otherwise, which is how a table that others have changed shows. */
  remove(element: string): void {
    push(this.#removed, ...split(element));
  }

  /** For elements that the kernel may have dropped by itself, when their time was over. */
  clear(element: string): void {
    push(this.#cleared, ...split(element));
  }

  isEmpty(): boolean {
    return [this.#removed, this.#added, this.#cleared].every(({ size }) => size === 0) && this.#chains.length === 0;
  }

  /** What it adds to sets that the kernel fills: the part that a table which is written as a whole lacks. */
  learntText(): string {
    const isLearnt = ([set]: [string, unknown]) => setSpecs.get(set as SetName)?.filledBy === 'kernel';
    return elementsText('add', new Map([...this.#added].filter(isLearnt)));
  }

  /** As nft reads it. What is removed goes first: an element that gets another value is removed and added. */
  text(): string {
    const chains = this.#chains.length > 0 ? chainsText(this.#chains) : '';
    // Adding what is there is no error, and removing what is not would be one.
    const cleared = elementsText('add', this.#cleared) + elementsText('delete', this.#cleared);
    return `${chains}${cleared}${elementsText('delete', this.#removed)}${elementsText('add', this.#added)}`;
  }
}

/** `verb element inet sluice set { …, … }` for each set. */
function elementsText(verb: 'add' | 'delete', elementsBySet: ReadonlyMap<string, readonly string[]>): string {
  let text = '';
  for (const [set, elements] of elementsBySet) text += `${verb} element ${table} ${set} { ${elements.join(',\n')} }\n`;
  return text;
}

function split(element: string): [set: string, key: string] {
  const end = element.indexOf(' ');
  return [element.slice(0, end), element.slice(end + 1)];
}

function push(listsByName: Map<string, string[]>, name: string, item: string): void {
  const list = listsByName.get(name);
  if (list === undefined) listsByName.set(name, [item]);
  else list.push(item);
}
