import ipaddr from 'ipaddr.js';
import type { AnnouncedAddress, Announcement } from '#table/announce.ts';
import type { EdgePlan } from '#table/plan.ts';

/** What stands beside a route. */
export interface RouteTerms {
  readonly communities: ReadonlySet<string>;
  readonly largeCommunities: ReadonlySet<string>;
  readonly localPreference: number | null;
}

/** By peer, by prefix: what each peer of a node hears. */
export type Routes = ReadonlyMap<string, ReadonlyMap<string, RouteTerms>>;

/** How one address is announced: the prefix, and to whom. */
interface Way {
  readonly prefix: string;
  readonly peerIds: readonly string[];
}

type Bgp = NonNullable<Announcement['bgp']>;

/**
 * The routes of a node. Addresses of one prefix are one route, and so are announcements of one address to one peer: it has the
 * communities of all of them, and the highest of their preferences.
 */
export function routesOf(plan: EdgePlan, node: string, peerIds: readonly string[]): Routes {
  const routes = new Map(peerIds.map((id) => [id, new Map<string, RouteTerms>()]));
  if (routes.size === 0) return routes;
  const hearings = hearingsOf(plan, node, peerIds);
  for (const address of plan.address.values()) {
    const heard = address.announcementIds.filter((id) => hearings.has(id));
    if (heard.length === 0 || !isServedHere(plan, node, address)) continue;
    for (const announcementId of heard) {
      const hearing = hearings.get(announcementId);
      if (hearing === undefined) continue;
      const prefix = prefixOf(address.id, hearing.bgp);
      for (const peerId of hearing.peerIds) {
        const ofPeer = routes.get(peerId);
        const before = ofPeer?.get(prefix);
        ofPeer?.set(prefix, before === undefined ? hearing.terms : both(before, hearing.terms));
      }
    }
  }
  return routes;
}

/** The addresses that at least one of these peers hears from a node. */
export function addressesOf(plan: EdgePlan, node: string, peerIds: readonly string[]): string[] {
  const hearings = hearingsOf(plan, node, peerIds);
  return [...plan.address.values()]
    .filter((row) => row.announcementIds.some((id) => hearings.has(id)) && isServedHere(plan, node, row))
    .map(({ id }) => id);
}

/** By announcement. These are few and addresses many: what is alike for all of them is found out once. */
function hearingsOf(plan: EdgePlan, node: string, peerIds: readonly string[]): ReadonlyMap<string, Hearing> {
  const hearings = new Map<string, Hearing>();
  for (const announcement of plan.announcement.values()) {
    const hearing = hearingOf(announcement, node, peerIds);
    if (hearing !== null) hearings.set(announcement.id, hearing);
  }
  return hearings;
}

/** Who hears an announcement of a node, and what. */
interface Hearing {
  readonly bgp: Bgp;
  readonly peerIds: readonly string[];
  readonly terms: RouteTerms;
}

/** null: nobody hears it from this node. */
function hearingOf({ bgp, nodes }: Announcement, node: string, peerIds: readonly string[]): Hearing | null {
  if (bgp === null || !nodes.includes(node)) return null;
  const heard = bgp.peerIds.length === 0 ? peerIds : peerIds.filter((id) => bgp.peerIds.includes(id));
  if (heard.length === 0) return null;
  const { communities, largeCommunities, localPreference } = bgp;
  const terms = {
    communities: new Set(communities),
    largeCommunities: new Set(largeCommunities),
    localPreference,
  };
  return { bgp, peerIds: heard, terms };
}

function both(one: RouteTerms, other: RouteTerms): RouteTerms {
  // Addresses of one prefix mostly have the same announcement.
  if (one === other) return one;
  const preferences = [one.localPreference, other.localPreference].filter((each) => each !== null);
  return {
    communities: one.communities.union(other.communities),
    largeCommunities: one.largeCommunities.union(other.largeCommunities),
    localPreference: preferences.length > 0 ? Math.max(...preferences) : null,
  };
}

/** How a node announces an address by BGP, or in words why it does not. */
export function waysOf(
  plan: EdgePlan,
  node: string,
  peerIds: readonly string[],
  address: AnnouncedAddress,
): readonly Way[] | string {
  const announcements = address.announcementIds.flatMap((id) => plan.announcement.get(id) ?? []);
  const ofBgp = announcements.filter(({ bgp }) => bgp !== null);
  if (ofBgp.length === 0) return 'not by BGP';
  const ofNode = ofBgp.filter(({ nodes }) => nodes.includes(node));
  if (ofNode.length === 0) return 'by other nodes';
  if (!isServedHere(plan, node, address)) return 'no ready endpoint on this node';
  const ways = ofNode.flatMap((announcement): Way[] => {
    const hearing = hearingOf(announcement, node, peerIds);
    return hearing === null ? [] : [{ prefix: prefixOf(address.id, hearing.bgp), peerIds: hearing.peerIds }];
  });
  return ways.length === 0 ? 'this node speaks with no peer that is to hear it' : ways;
}

/** What stays of routes when only those stay that others have, too. null: all of it. */
export function withoutGone(routes: Routes, others: Routes): Routes | null {
  let isLess = false;
  const kept = new Map<string, ReadonlyMap<string, RouteTerms>>();
  for (const [peerId, ofPeer] of routes) {
    const wanted = others.get(peerId);
    const stays = new Map([...ofPeer].filter(([prefix]) => wanted?.has(prefix)));
    if (stays.size < ofPeer.size) isLess = true;
    kept.set(peerId, stays);
  }
  return isLess ? kept : null;
}

function prefixOf(address: string, { aggregationLength4, aggregationLength6 }: Bgp): string {
  const isSix = address.includes(':');
  const length = isSix ? aggregationLength6 : aggregationLength4;
  // Whole addresses are in their one form already, and by far the most.
  if (length === (isSix ? 128 : 32)) return `${address}/${length}`;
  const Family = isSix ? ipaddr.IPv6 : ipaddr.IPv4;
  return `${Family.networkAddressFromCIDR(`${address}/${length}`).toString()}/${length}`;
}

/**
 * Whether the node may attract traffic for an address: each of its Services that wants the traffic of a node to stay there has a
 * ready endpoint here. Those that terminate do not count, so that a node is left before its last endpoint is gone.
 */
function isServedHere(plan: EdgePlan, node: string, { id: address, serviceIds }: AnnouncedAddress): boolean {
  const isSix = address.includes(':');
  return serviceIds.every((serviceId) => {
    const service = plan.service.get(serviceId);
    if (service?.externalTrafficPolicy !== 'local') return true;
    return service.ports.some(({ endpointsId }) =>
      plan.endpoints
        .get(endpointsId)
        ?.endpoints.some((each) => each.ready && each.node === node && each.address.includes(':') === isSix),
    );
  });
}
