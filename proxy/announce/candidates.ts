import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { EdgeService } from '#table/service.ts';
import { type Delta, refsOf } from '../receive/changes.ts';
import { byRank, type Ranked, rankOf } from './rank.ts';

/** A node that the plan lets announce an address, and by which interfaces: see linkFor. */
interface Candidate extends Ranked {
  readonly ways: readonly (readonly string[])[];
}

export interface Candidacy {
  /** The best first. */
  readonly candidates: readonly Candidate[];
  /** A Service of it wants its traffic to stay on nodes that have its endpoints. */
  readonly isLocal: boolean;
}

/** Who may announce which address on layer 2, as the plan says. */
export class Candidates {
  readonly #byAddress = new Map<string, Candidacy>();

  /** Addresses that are announced on layer 2 at all. */
  addresses(): Iterable<[string, Candidacy]> {
    return this.#byAddress;
  }

  of(address: string): Candidacy | null {
    return this.#byAddress.get(address) ?? null;
  }

  /** @param plan as it is after the change */
  follow(plan: EdgePlan, delta: Delta<PlanRows>): void {
    for (const address of this.#touched(plan, delta)) {
      const candidacy = candidacyOf(plan, address);
      if (candidacy === null) this.#byAddress.delete(address);
      else this.#byAddress.set(address, candidacy);
    }
  }

  #touched(plan: EdgePlan, delta: Delta<PlanRows>): Set<string> {
    const touched = new Set<string>();
    const services = new Set<string>();
    for (const { kind, id } of refsOf(delta)) {
      if (kind === 'announcement') return new Set([...this.#byAddress.keys(), ...plan.address.keys()]);
      if (kind === 'address') touched.add(id);
      else if (kind === 'service') services.add(id);
      // `<ns>/<service>/<protocol>/<port>`
      else if (kind === 'endpoints') services.add(id.split('/').slice(0, 2).join('/'));
    }
    if (services.size === 0) return touched;
    for (const [address, { serviceIds }] of plan.address) {
      if (serviceIds.some((id) => services.has(id))) touched.add(address);
    }
    return touched;
  }
}

/** null: it is not announced on layer 2. */
function candidacyOf(plan: EdgePlan, address: string): Candidacy | null {
  const row = plan.address.get(address);
  const waysByNode = new Map<string, string[][]>();
  let isAnnounced = false;
  for (const id of row?.announcementIds ?? []) {
    const announcement = plan.announcement.get(id);
    if (!announcement?.layer2) continue;
    isAnnounced = true;
    for (const node of announcement.nodes) {
      const ways = waysByNode.get(node) ?? [];
      waysByNode.set(node, [...ways, announcement.layer2.interfaces]);
    }
  }
  if (row === undefined || !isAnnounced) return null;
  const services = row.serviceIds.flatMap((id) => plan.service.get(id) ?? []);
  const locals = services.filter(({ externalTrafficPolicy }) => externalTrafficPolicy === 'local');
  for (const service of locals) {
    const having = nodesOf(plan, service, address);
    for (const node of waysByNode.keys()) if (!having.has(node)) waysByNode.delete(node);
  }
  const candidates = [...waysByNode].map(([node, ways]) => ({ node, rank: rankOf(node, address), ways }));
  return { candidates: candidates.sort(byRank), isLocal: locals.length > 0 };
}

/**
 * Nodes with ready endpoints of a Service, of the family of the address; where no node has one, those whose endpoints serve while
 * they end (KEP-1669).
 */
function nodesOf(plan: EdgePlan, { ports }: EdgeService, address: string): Set<string | null> {
  const isSix = address.includes(':');
  const endpoints = ports
    .flatMap(({ endpointsId }) => plan.endpoints.get(endpointsId)?.endpoints ?? [])
    .filter((endpoint) => endpoint.address.includes(':') === isSix);
  const ready = endpoints.filter((endpoint) => endpoint.ready);
  const ending = endpoints.filter(({ serving, terminating }) => serving && terminating);
  return new Set((ready.length > 0 ? ready : ending).map(({ node }) => node));
}
