import type { Draft } from './draft.ts';

/** The Ingresses on a host by whose it is. */
export interface HostShares {
  /** The oldest of all. null: there are none. */
  oldest: Draft | null;
  /** Those of its namespace: they decide about the host as a whole. Oldest first. */
  owners: readonly Draft[];
  /** Those of other namespaces, which decide about their own paths. Oldest first. */
  guests: readonly Draft[];
}

/**
 * A host belongs to the namespace of its oldest Ingress: what an Ingress says of a whole host must not close, redirect or reveal the
 * paths of people who do not know its author.
 * @param drafts on the host, oldest first
 */
export function sharesOf(drafts: readonly Draft[]): HostShares {
  const [oldest] = drafts;
  if (oldest === undefined) return { oldest: null, owners: [], guests: [] };
  const isOwner = (draft: Draft): boolean => namespaceOf(draft) === namespaceOf(oldest);
  return { oldest, owners: drafts.filter(isOwner), guests: drafts.filter((draft) => !isOwner(draft)) };
}

export function namespaceOf({ source }: Draft): string {
  return source.namespace;
}

/** Names of the owner, for problems. */
export function ownerOf({ oldest }: HostShares): { owner: string; oldest: string } {
  return { owner: oldest === null ? '' : namespaceOf(oldest), oldest: oldest?.key ?? '' };
}

/** Completes "Ingress …, which is": why it decides, and not the other. */
export function ageBeside(loser: Draft, winner: Draft): string {
  return winner.age < loser.age ? 'older' : 'of the namespace that the host belongs to';
}
