import type { Commit } from '#table/change.ts';
import { kindsBehind } from './order.ts';

/**
 * Notices that the controller that serves us does not get any further while another one does: it is cut off from the API
 * server, say, and its stream would stay open and silent for ever. Every replica is behind for moments, so what counts is
 * what another one held a whole look ago.
 */
export class LagWatch {
  #heldBefore = new Map<string, Commit['holds']>();
  #held = new Map<string, Commit['holds']>();

  /** Another controller has told what its table holds. */
  heard(origin: string, holds: Commit['holds']): void {
    this.#held.set(origin, holds);
  }

  /**
   * To be called at even intervals.
   *
   * @param seen what the controller that serves us has seen by now
   * @returns the origin of a controller that was ahead of this one interval ago already; null when there is none
   */
  look(seen: Commit['seen']): string | null {
    const before = this.#heldBefore;
    this.#heldBefore = this.#held;
    this.#held = new Map();
    for (const [origin, holds] of before) if (kindsBehind(seen, holds).length > 0) return origin;
    return null;
  }

  /** Another controller serves us now. */
  forget(): void {
    this.#heldBefore = new Map();
    this.#held = new Map();
  }
}
