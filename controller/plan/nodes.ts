import type { PlanRow } from '#table/plan.ts';
import { canonicalAddress, familyOf } from '../addresses/ranges.ts';
import { type LabelSelector, selects } from '../addresses/selector.ts';
import { compareText } from '../translate/problems.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { canonicalPrefix } from './prefix.ts';

type Node = ObjectOf<'Node'>;

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';
const zoneLabel = 'topology.kubernetes.io/zone';

/** A node as edges know it. */
export function nodeRow({ metadata: { name, labels }, spec, status }: Node): PlanRow {
  const podCidrs = spec.podCIDRs.length > 0 ? spec.podCIDRs : [spec.podCIDR ?? ''];
  const row = {
    id: name,
    source: { kind: 'Node', namespace: '', name },
    addresses: [...addressesOf(status, 'InternalIP'), ...addressesOf(status, 'ExternalIP')],
    zone: labels[zoneLabel] ?? null,
    podCidrs: podCidrs.flatMap((cidr) => canonicalPrefix(cidr) ?? []),
    isLeaving: isLeaving(spec),
  };
  return { kind: 'node', row };
}

/** Names of nodes that a selector selects, in order. */
export function selectedNodes(nodes: readonly Node[], selector: LabelSelector | undefined): string[] {
  const selected = nodes.filter(({ metadata }) => selector === undefined || selects(selector, metadata.labels));
  return namesOf(selected);
}

/**
 * Nodes that may announce. Excluded ones and those without network never do; those that are about to leave do only when no
 * other is left (KEP-3836). Readiness does not count (KEP-3458): it says whether a kubelet is heard, and a node that cannot be
 * reached is missed by other edges and by routers long before.
 */
export function announcingNodes(nodes: readonly Node[], selector: LabelSelector | undefined): string[] {
  const eligible = nodes.filter(
    ({ metadata: { labels }, status }) =>
      !Object.hasOwn(labels, excludeLabel) &&
      conditionOf(status, 'NetworkUnavailable') !== 'True' &&
      (selector === undefined || selects(selector, labels)),
  );
  const staying = eligible.filter(({ spec }) => !isLeaving(spec));
  return namesOf(staying.length > 0 ? staying : eligible);
}

/** The reader keeps of all taints only the one that says so (KEP-3836). */
function isLeaving({ taints }: Node['spec']): boolean {
  return taints.length > 0;
}

function conditionOf({ conditions }: Node['status'], wanted: string): string | undefined {
  return conditions.find(({ type }) => type === wanted)?.status;
}

/** IPv4 first, each family in the order in which the node tells them: its first is its primary one. */
function addressesOf({ addresses }: Node['status'], wanted: string): string[] {
  const found = addresses
    .filter(({ type }) => type === wanted)
    .flatMap(({ address }) => canonicalAddress(address) ?? []);
  return [...new Set(found)].sort((a, b) => compareText(familyOf(a), familyOf(b)));
}

function namesOf(nodes: readonly Node[]): string[] {
  return nodes.map(({ metadata }) => metadata.name).sort();
}
