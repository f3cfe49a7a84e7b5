import type { ObjectKey } from './watch/view.ts';

/** Of commits that no proxy takes meanwhile: of further ones, only the newest is kept. */
const mostWaiting = 64;

/**
 * Which Ingresses statuses may be promised for: those of the newest commit that every proxy has. That is not the last commit where
 * tables change faster than proxies apply them, as they do while endpoints of a large cluster come and go: there is always
 * one on its way.
 */
export class Promises {
  readonly #waiting: { generation: number; ingresses: readonly ObjectKey[] }[] = [];
  #held: readonly ObjectKey[] = [];

  /** @param ingresses the same list as before when none came or went */
  committed(generation: number, ingresses: readonly ObjectKey[]): void {
    if ((this.#waiting.at(-1)?.ingresses ?? this.#held) === ingresses) return;
    this.#waiting.push({ generation, ingresses });
    if (this.#waiting.length > mostWaiting) this.#waiting.splice(-2, 1);
  }

  /** Every proxy has this commit, or a later one. Of the Ingresses that are ours by now, those that it is about. */
  heldAt(generation: number, ours: readonly ObjectKey[]): readonly ObjectKey[] {
    const count = this.#waiting.findLastIndex((commit) => commit.generation <= generation) + 1;
    this.#held = this.#waiting.splice(0, count).at(-1)?.ingresses ?? this.#held;
    if (this.#held === ours) return ours;
    const held = new Set(this.#held);
    return ours.filter((key) => held.has(key));
  }
}
