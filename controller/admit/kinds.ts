import type { Problem } from '#table/problem.ts';
import { PoolSet } from '../addresses/pools.ts';
import { planAnnouncement } from '../plan/announcement.ts';
import { planPeer } from '../plan/peer.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView, ObjectKey } from '../watch/view.ts';
import { TrialView } from './trialview.ts';

/** Who has which addresses now. */
export type Assignments = ReadonlyMap<ObjectKey, readonly { readonly address: string }[]>;

/** Problems of pools that there would be with this one, those of others included: an older pool that grows takes from younger ones. */
export function poolProblems(view: ClusterView, pool: ObjectOf<'AddressPool'>): Problem[] {
  return [...new PoolSet(new TrialView(view, pool).all('AddressPool')).problems];
}

/**
 * Services whose addresses would belong to no pool any more, in sentences. They keep them, but nobody else can have the rest.
 *
 * @param pool as it would be; null: it goes
 */
export function strandedServices(
  view: ClusterView,
  name: string,
  pool: ObjectOf<'AddressPool'> | null,
  assignments: Assignments,
): string[] {
  const before = new PoolSet(view.all('AddressPool'));
  const others = [...view.all('AddressPool')].filter(({ metadata }) => metadata.name !== name);
  const after = new PoolSet(pool === null ? others : [...others, pool]);
  return [...assignments].flatMap(([service, given]) =>
    given
      .filter(({ address }) => before.of(address)?.name === name && after.of(address) === undefined)
      .map(({ address }) => `Service ${service} keeps ${address}, which is in no AddressPool then.`),
  );
}

export function peerProblems(peer: ObjectOf<'BGPPeer'>): Problem[] {
  return planPeer(peer, null, []).problems;
}

export function announcementProblems(view: ClusterView, announcement: ObjectOf<'Announcement'>): Problem[] {
  const trial = new TrialView(view, announcement);
  const peers = new Set(Array.from(trial.all('BGPPeer'), ({ metadata }) => metadata.name));
  return planAnnouncement(announcement, [], peers, trial).problems;
}
