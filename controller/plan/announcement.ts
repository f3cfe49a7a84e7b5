import type { PlanRow, PlanRows } from '#table/plan.ts';
import type { Problem, Source } from '#table/problem.ts';
import { wellKnownCommunities } from '../addresses/announcement.ts';
import type { Allocation } from '../addresses/record.ts';
import { selects } from '../addresses/selector.ts';
import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView } from '../watch/view.ts';
import { announcingNodes } from './nodes.ts';
import { planProblem } from './problems.ts';

type Announcement = ObjectOf<'Announcement'>;
type Labels = Readonly<Record<string, string>>;

/**
 * The row of one way of announcing.
 *
 * @param peers ids of the peers that there are
 */
export function planAnnouncement(
  { metadata: { name }, spec }: Announcement,
  nodes: readonly ObjectOf<'Node'>[],
  peers: ReadonlySet<string>,
  view: ClusterView,
): { rows: PlanRow[]; problems: Problem[] } {
  const source: Source = { kind: 'Announcement', namespace: '', name };
  const problems: Problem[] = [];
  for (const [index, pool] of spec.pools.entries()) {
    const at = { ...source, field: `spec.pools[${index}]` };
    if (!view.get('AddressPool', `/${pool}`)) problems.push(planProblem('AnnouncementPoolNotFound', at, { pool }));
  }
  for (const [index, peer] of (spec.bgp?.peers ?? []).entries()) {
    const at = { ...source, field: `spec.bgp.peers[${index}]` };
    if (!peers.has(peer)) problems.push(planProblem('AnnouncementPeerNotFound', at, { peer }));
  }
  // An API server refuses it, files may hold it.
  if (spec.l2 === undefined && spec.bgp === undefined) problems.push(planProblem('AnnouncementWithoutWay', source, {}));
  const layer2 = spec.l2 ? { interfaces: spec.l2.interfaces } : null;
  const bgp = bgpOf(spec.bgp, peers, source, problems);
  const isMute = layer2 === null && bgp === null;
  const row: PlanRows['announcement'] = {
    id: name,
    source,
    nodes: isMute ? [] : announcingNodes(nodes, spec.nodeSelector),
    layer2,
    bgp,
  };
  return { rows: [{ kind: 'announcement', row }], problems };
}

function bgpOf(
  bgp: Announcement['spec']['bgp'],
  peers: ReadonlySet<string>,
  source: Source,
  problems: Problem[],
): PlanRows['announcement']['bgp'] {
  if (bgp === undefined) return null;
  const peerIds = bgp.peers.filter((peer) => peers.has(peer));
  // No ids stand for every peer, which is not what names that nobody has ask for.
  if (bgp.peers.length > 0 && peerIds.length === 0) return null;
  const plainSource = { ...source, field: 'spec.bgp.communities' };
  const largeSource = { ...source, field: 'spec.bgp.largeCommunities' };
  return {
    peerIds,
    communities: communitiesOf(bgp.communities, 2, 65_535, plainSource, problems),
    largeCommunities: communitiesOf(bgp.largeCommunities, 3, 4_294_967_295, largeSource, problems),
    localPreference: bgp.localPreference ?? null,
    aggregationLength4: bgp.aggregationLengthIPv4,
    aggregationLength6: bgp.aggregationLengthIPv6,
  };
}

/** One that is none is left out: a router's configuration is taken as a whole or not at all. */
function communitiesOf(
  texts: readonly string[],
  parts: number,
  largest: number,
  source: Source,
  problems: Problem[],
): string[] {
  return texts.flatMap((text) => {
    const community = wellKnownCommunities.get(text) ?? text;
    const numbers = community.split(':');
    if (numbers.length === parts && numbers.every((part) => /^[0-9]{1,10}$/.test(part) && Number(part) <= largest)) {
      return numbers.map(Number).join(':');
    }
    problems.push(planProblem('CommunityInvalid', source, { community: text, parts: String(parts) }));
    return [];
  });
}

/** A Service that has an address, as announcements look at it. */
export interface Tenant {
  id: string;
  labels: Labels;
}

/** Which announcements are for an address: that is for its pool and for any of the Services that have it. */
export function announcementsFor(
  pool: string,
  tenants: readonly Tenant[],
  announcements: readonly Announcement[],
  view: ClusterView,
): Announcement[] {
  const poolLabels = view.get('AddressPool', `/${pool}`)?.metadata.labels ?? {};
  return announcements.filter(({ spec: { pools, poolSelector, serviceSelector } }) => {
    const isForAll = pools.length === 0 && poolSelector === undefined;
    const isSelected = poolSelector !== undefined && selects(poolSelector, poolLabels);
    const isForPool = isForAll || isSelected || pools.includes(pool);
    return isForPool && (!serviceSelector || tenants.some(({ labels }) => selects(serviceSelector, labels)));
  });
}

/** The row of one address. */
export function planAddress(
  { address, pool }: Allocation,
  tenants: readonly Tenant[],
  announcementIds: readonly string[],
): PlanRow {
  const serviceIds = tenants.map(({ id }) => id).sort();
  const [namespace = '', name = ''] = (serviceIds[0] ?? '').split('/');
  const source = { kind: 'Service', namespace, name };
  return {
    kind: 'address',
    row: { id: address, source, pool, serviceIds, announcementIds: [...announcementIds].sort() },
  };
}
