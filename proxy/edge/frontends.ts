import type { EdgeService, ServicePort } from '#table/service.ts';
import { entryFlags } from './key.ts';
import { familyOf } from './prefix.ts';
import type { Family } from './sets.ts';

/** Which addresses of Services an edge serves. nodeport adds node ports to loadbalancer; all is everything. */
export type ServiceScope = 'loadbalancer' | 'nodeport' | 'all';

/** Where a port of a Service is reached: at an address that is its own, or at a port of the node's addresses. */
export interface Frontend {
  readonly kind: 'cluster' | 'vip' | 'external' | 'node';
  /** null for node ports. */
  readonly address: string | null;
  readonly port: number;
  /** The flags of its entry key. */
  readonly flags: number;
  /** The address is there for Services alone: what is no port of theirs is refused. */
  readonly isWhole: boolean;
}

/** All ways to reach the port by one family. */
export function frontendsOf(
  service: EdgeService,
  { port, nodePort }: ServicePort,
  family: Family,
  scope: ServiceScope,
): Frontend[] {
  const internal = service.internalTrafficPolicy === 'local' ? entryFlags.local : 0;
  const external = entryFlags.external | (service.externalTrafficPolicy === 'local' ? entryFlags.local : 0);
  const guarded = external | (service.sourceRanges.length > 0 ? entryFlags.guarded : 0);
  const frontends: Frontend[] = [];
  const add = (frontend: Omit<Frontend, 'port'> & { address: string }): void => {
    if (familyOf(frontend.address) === family) frontends.push({ ...frontend, port });
  };
  for (const { address, owner, ipMode } of service.vips) {
    // KEP-1860: what another load balancer wants to see for itself is left to it. Some of them give out addresses of nodes.
    const isWhole = owner === 'sluice';
    if (isWhole || (scope === 'all' && ipMode === 'vip')) add({ kind: 'vip', address, flags: guarded, isWhole });
  }
  if (scope === 'all') {
    for (const address of service.clusterIps) add({ kind: 'cluster', address, flags: internal, isWhole: true });
    for (const address of service.externalIps) add({ kind: 'external', address, flags: external, isWhole: false });
  }
  // A Service has the families of its cluster addresses; one of a file has none, and then its endpoints tell.
  const { clusterIps } = service;
  const isOfFamily = clusterIps.length === 0 || clusterIps.some((address) => familyOf(address) === family);
  if (scope !== 'loadbalancer' && nodePort !== null && isOfFamily) {
    frontends.push({ kind: 'node', address: null, port: nodePort, flags: external, isWhole: false });
  }
  return frontends;
}
