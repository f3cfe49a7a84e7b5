import { setTimeout } from 'node:timers/promises';
import { probe, type Target } from './prober.ts';

/** An address that this node would take, if nobody answers for it. */
interface Wish {
  readonly target: Target;
  /** Questions in a row that nobody answered. */
  quiet: number;
  /** Who answered the last one; null: nobody. */
  answeredBy: string | null;
  answeredSinceMs: number;
}

/** Asks for what we would take for as long as we would: whoever has it, and is not heard, may be gone at any time. */
export class Wishes {
  readonly #wishes = new Map<string, Wish>();
  readonly #onAnswers: () => void;
  #isAsking = false;
  /** Addresses that were asked for, each as often as it was. */
  questions = 0;

  /** @param onAnswers called after each round of questions */
  constructor(onAnswers: () => void) {
    this.#onAnswers = onAnswers;
  }

  put(target: Target): void {
    if (this.#wishes.get(target.address)?.target.link === target.link) return;
    this.#wishes.set(target.address, { target, quiet: 0, answeredBy: null, answeredSinceMs: 0 });
    if (!this.#isAsking) void this.#ask();
  }

  drop(address: string): void {
    this.#wishes.delete(address);
  }

  clear(): void {
    this.#wishes.clear();
  }

  quietOf(address: string): number {
    return this.#wishes.get(address)?.quiet ?? 0;
  }

  /** Whether it is still being found out if somebody answers. */
  isOpen(address: string): boolean {
    return this.#wishes.get(address)?.answeredBy === null;
  }

  /** Those that somebody has answered for so long that it is nobody who is about to lose them. */
  answered(): { target: Target; mac: string }[] {
    const nowMs = performance.now();
    return [...this.#wishes.values()].flatMap(({ target, answeredBy: mac, answeredSinceMs }) => {
      return mac !== null && nowMs - answeredSinceMs > lastingMs ? [{ target, mac }] : [];
    });
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    while (this.#wishes.size > 0) {
      const wishes = [...this.#wishes.values()].sort((a, b) => b.quiet - a.quiet).slice(0, atOnce);
      this.questions += wishes.length;
      const answers = await probe(wishes.map(({ target }) => target));
      const nowMs = performance.now();
      for (const wish of wishes) {
        const answeredBy = answers.get(wish.target.address);
        if (answeredBy === undefined) {
          wish.quiet = 0;
          continue;
        }
        if (answeredBy !== null && wish.answeredBy === null) wish.answeredSinceMs = nowMs;
        wish.answeredBy = answeredBy;
        wish.quiet = answeredBy === null ? wish.quiet + 1 : 0;
      }
      this.#onAnswers();
      if (wishes.some(({ quiet }) => quiet > 0)) continue;
      const isLasting = this.answered().length === this.#wishes.size;
      await setTimeout(isLasting ? lastingPauseMs : pauseMs);
    }
    this.#isAsking = false;
  }
}

/** Bounds what a segment is asked at once, and the room that the kernel needs for answers. */
export const atOnce = 64;
const pauseMs = 100;
/** Longer than an address lives without its agent. */
const lastingMs = 15_000;
const lastingPauseMs = 1_000;
