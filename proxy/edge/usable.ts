import type { EdgeEndpoint } from '#table/service.ts';

/** Where a node is. */
export interface Place {
  readonly node: string;
  readonly zone: string | null;
}

export interface Usable {
  /** For traffic that any node's endpoints may take. */
  readonly cluster: readonly EdgeEndpoint[];
  /** For traffic that must stay on the node. */
  readonly local: readonly EdgeEndpoint[];
}

/**
 * Which endpoints take new connections: ready ones; where there are none, those that serve and terminate (KEP-1669),
 * decided for each scope by itself, so that the last pod of a node is served while it ends. Topology hints (KEP-2433,
 * KEP-3015) narrow the cluster's list, never the node's.
 */
export function usableOf(endpoints: readonly EdgeEndpoint[], place: Place): Usable {
  const here = endpoints.filter(({ node }) => node === place.node);
  const ready = readyOf(endpoints);
  return {
    cluster: ready.length > 0 ? nearest(ready, place) : endingOf(endpoints),
    local: readyOf(here).length > 0 ? readyOf(here) : endingOf(here),
  };
}

function readyOf(endpoints: readonly EdgeEndpoint[]): EdgeEndpoint[] {
  return endpoints.filter(({ ready }) => ready);
}

function endingOf(endpoints: readonly EdgeEndpoint[]): EdgeEndpoint[] {
  return endpoints.filter(({ serving, terminating }) => serving && terminating);
}

/** Hints count only when every ready endpoint has one and one of them means us: a half-written set must not cut us off. */
function nearest(ready: readonly EdgeEndpoint[], { node, zone }: Place): readonly EdgeEndpoint[] {
  if (ready.every(({ forNodes }) => forNodes.length > 0)) {
    const mine = ready.filter(({ forNodes }) => forNodes.includes(node));
    if (mine.length > 0) return mine;
  }
  if (zone !== null && ready.every(({ forZones }) => forZones.length > 0)) {
    const mine = ready.filter(({ forZones }) => forZones.includes(zone));
    if (mine.length > 0) return mine;
  }
  return ready;
}
