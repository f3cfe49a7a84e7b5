import ipaddr from 'ipaddr.js';
import { BgpPassword, type BgpPeer } from '#table/announce.ts';
import type { EdgePlan } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { EdgeNode } from '#table/service.ts';
import { speakProblem } from './problems.ts';

/** A peer as its node speaks with it. */
export interface Neighbour {
  readonly row: BgpPeer;
  /** null: none. */
  readonly password: string | null;
  /** Address that the node speaks from; null: as the route says. */
  readonly localAddress: string | null;
  /** Of the routes that it is offered. */
  readonly families: readonly (4 | 6)[];
}

/** The peers of a node, in order. One that cannot be had as its row says is left out, for BIRD takes all or nothing. */
export function neighboursOf(plan: EdgePlan, node: string): { neighbours: Neighbour[]; problems: Problem[] } {
  const self = plan.node.get(node);
  const problems: Problem[] = [];
  const neighbours: Neighbour[] = [];
  const rows = [...plan.peer.values()].filter(({ nodes }) => nodes.includes(node));
  for (const row of rows.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const neighbour = neighbourOf(row, plan, self);
    if (typeof neighbour !== 'string') neighbours.push(neighbour);
    else problems.push(speakProblem('PeerUnusable', row.source, { node, peer: row.id, reason: neighbour }));
  }
  return { neighbours, problems };
}

/**
 * How long after the death of BIRD a router may take to find it out by BFD. A session that is back before ends when the router
 * finds out, and the routes that graceful restart has kept go with it.
 */
export function restartDelayMs(neighbours: readonly Neighbour[]): number {
  const detectionMs = neighbours.map(({ row: { bfd } }) =>
    bfd === null ? 0 : bfd.multiplier * Math.max(bfd.receiveMs, bfd.transmitMs),
  );
  return 1.2 * Math.max(0, ...detectionMs);
}

/** @returns why not, when it cannot be had */
function neighbourOf(row: BgpPeer, plan: EdgePlan, self: EdgeNode | undefined): Neighbour | string {
  const range = ipaddr.parse(row.address).range();
  if (range === 'unspecified' || range === 'multicast' || range === 'broadcast') return `its address is ${range}`;
  const family = familyOf(row.address);
  const isOnLink = family === 6 && isLinkLocal(row.address);
  if (isOnLink && row.interface === null) return 'its address is link-local, and no interface is given';
  if (row.multihopTtl !== null && (isOnLink || row.interface !== null)) return 'it is both on a link and hops away';
  // Any address is none to BIRD, which then wants one for BFD over hops.
  const source = isAny(row.sourceAddress) ? null : row.sourceAddress;
  if (source !== null && familyOf(source) !== family) return 'its source address is of the other family';
  if (row.interface === null && isLinkLocal(source)) return 'it has a link-local source, and no interface is given';
  if ((row.keepaliveSeconds ?? 0) > (row.holdTimeSeconds ?? usualHoldSeconds))
    return 'its keepalives are longer apart than its hold time';
  const password = row.secretId === null ? null : BgpPassword.safeParse(plan.secret.get(row.secretId)?.value).data;
  if (password === undefined) return 'its password is not one that TCP MD5 takes';
  const own = (self?.addresses ?? []).find((each) => familyOf(each) === family && !isLinkLocal(each)) ?? null;
  // BIRD finds the address of a session on a link by itself; BFD over hops has to be told.
  const localAddress = source ?? (row.multihopTtl !== null && row.bfd !== null ? own : null);
  if (localAddress === null && row.multihopTtl !== null && row.bfd !== null)
    return 'BFD over hops needs an address of the node, and it has none of this family';
  const families = ([4, 6] as const).filter(
    (each) => each === family || self?.addresses.some((address) => familyOf(address) === each),
  );
  return { row, password, localAddress, families };
}

/** Of BIRD. */
const usualHoldSeconds = 240;

function isAny(address: string | null): boolean {
  return address !== null && ipaddr.parse(address).range() === 'unspecified';
}

function isLinkLocal(address: string | null): boolean {
  return address !== null && ipaddr.parse(address).range() === 'linkLocal';
}

function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}
