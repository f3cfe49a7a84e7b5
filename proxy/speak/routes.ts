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

/** How one address is announced: the prefix, to whom, and with what. */
interface Way {
  readonly prefix: string;
  readonly peerIds: readonly string[];
  readonly bgp: Bgp;
}

type Bgp = NonNullable<Announcement['bgp']>;

/**
 * The routes of a node. Addresses of one prefix are one route, and so are announcements of one address to one peer: it has the
 * communities of all of them, and the highest of their preferences.
 */
export function routesOf(plan: EdgePlan, node: string, peerIds: readonly string[]): Routes {
  const routes = new Map(peerIds.map((id) => [id, new Map<string, RouteTerms>()]));
  if (routes.size === 0) return routes;
  for (const address of plan.address.values()) {
    const ways = waysOf(plan, node, peerIds, address);
    if (typeof ways === 'string') continue;
    for (const { prefix, peerIds, bgp } of ways) {
      for (const id of peerIds) {
        const ofPeer = routes.get(id);
        ofPeer?.set(prefix, withTerms(ofPeer.get(prefix), bgp));
      }
    }
  }
  return routes;
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
  const ways = ofNode.flatMap(({ bgp }): Way[] => {
    if (bgp === null) return [];
    const heard = bgp.peerIds.length === 0 ? peerIds : peerIds.filter((id) => bgp.peerIds.includes(id));
    return heard.length === 0 ? [] : [{ prefix: prefixOf(address.id, bgp), peerIds: heard, bgp }];
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

function withTerms(before: RouteTerms = noTerms, bgp: Bgp): RouteTerms {
  const preferences = [before.localPreference, bgp.localPreference].filter((each) => each !== null);
  return {
    communities: before.communities.union(new Set(bgp.communities)),
    largeCommunities: before.largeCommunities.union(new Set(bgp.largeCommunities)),
    localPreference: preferences.length > 0 ? Math.max(...preferences) : null,
  };
}

const noTerms: RouteTerms = { communities: new Set(), largeCommunities: new Set(), localPreference: null };

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
