import type { Draft } from './draft.ts';

/** The Ingresses on a host by whose it is. */
export interface HostShares {
  /** For which the host is whose it is; it may be left out itself. null: there are none. */
  claim: Draft | null;
  /** The oldest of the claim's namespace that is not left out. */
  oldest: Draft | null;
  /** Those of its namespace: they decide about the host as a whole. Oldest first. */
  owners: readonly Draft[];
  /** Those of other namespaces, which decide about their own paths. Oldest first. */
  guests: readonly Draft[];
}

/**
 * A host belongs to the namespace of its oldest Ingress: what an Ingress says of a whole host must not close, redirect or reveal the
 * paths of people who do not know its author. One that is left out counts, too, where its namespace has another: a slip in an
 * annotation, or a canary, gives the host to nobody else.
 * @param drafts on the host, oldest first
 * @param leftOut that name the host and have no path, oldest first
 */
export function sharesOf(drafts: readonly Draft[], leftOut: readonly Draft[]): HostShares {
  const [first] = drafts;
  if (first === undefined) return { claim: null, oldest: null, owners: [], guests: [] };
  const present = leftOut.length === 0 ? null : new Set(drafts.map(namespaceOf));
  const absent = leftOut.find((draft) => present?.has(namespaceOf(draft)));
  const claim = absent !== undefined && absent.age < first.age ? absent : first;
  const isOwner = (draft: Draft): boolean => namespaceOf(draft) === namespaceOf(claim);
  const owners = drafts.filter(isOwner);
  return { claim, oldest: owners[0] ?? null, owners, guests: drafts.filter((draft) => !isOwner(draft)) };
}

export function namespaceOf({ source }: Draft): string {
  return source.namespace;
}

/** Names of the owner, for problems. */
export function ownerOf({ claim }: HostShares): { owner: string; oldest: string } {
  return { owner: claim === null ? '' : namespaceOf(claim), oldest: claim?.key ?? '' };
}

/** Completes "Ingress …, which is": why it decides, and not the other. */
export function ageBeside(loser: Draft, winner: Draft): string {
  return winner.age < loser.age ? 'older' : 'of the namespace that the host belongs to';
}
