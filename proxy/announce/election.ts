import { byRank, type Ranked } from './rank.ts';

/**
 * How good a node is for an address, by its own account. 0: it must not or cannot have it, and holds it at most until another
 * takes it. 1: it can, but its plan may be out of date, as the controllers are away. 2: it can.
 */
export type Grade = 0 | 1 | 2;

export interface Contender extends Ranked {
  readonly grade: Grade;
}

/** What a node knows about an address. */
export interface Situation {
  readonly self: Contender;
  readonly isHeld: boolean;
  /** Other nodes that are heard, and hear us, and could have it. */
  readonly others: readonly Contender[];
  /** Those of them that say that they have it. */
  readonly holders: readonly Contender[];
}

/**
 * keep: as it is. release: another has it with a better claim. move: take it, the one who has it waits for that. relieve: take
 * it, if this lasts, from one that is less sure of its plan. take: nobody that we hear has it; take it when nobody on the segment
 * answers for it.
 */
export type Decision = 'keep' | 'release' | 'move' | 'relieve' | 'take';

/**
 * Who has an address. Two nodes that hear each other and have the same claims before them come to the same answer, whatever
 * plans they have: of two holders, the one with the better claim stays; of none, the best takes it; and a holder that is well
 * is left alone, so that a node that comes moves nothing.
 */
export function decide({ self, isHeld, others, holders }: Situation): Decision {
  if (isHeld) return holders.some((holder) => byClaim(holder, self) < 0) ? 'release' : 'keep';
  if (self.grade === 0 || others.some((other) => byClaim(other, self) < 0)) return 'keep';
  if (holders.length === 0) return 'take';
  const best = Math.max(...holders.map(({ grade }) => grade));
  if (best >= self.grade) return 'keep';
  return best === 0 ? 'move' : 'relieve';
}

/** Sorts the better one first. */
function byClaim(a: Contender, b: Contender): number {
  return b.grade - a.grade || byRank(a, b);
}
