import { createHash } from 'node:crypto';

/**
 * The place of a node among those that want an address: the highest has it (rendezvous hashing). Every node comes to the same
 * order by itself, each address has its own, and a node that goes or comes changes nothing among the others.
 */
export function rankOf(node: string, address: string): number {
  return createHash('sha256').update(`${address} ${node}`).digest().readUIntBE(0, 6);
}

/** Sorts the better one first. */
export function byRank(a: Ranked, b: Ranked): number {
  return b.rank - a.rank || (a.node < b.node ? -1 : 1);
}

export interface Ranked {
  readonly node: string;
  readonly rank: number;
}
