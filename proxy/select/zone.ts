import type { Backend } from '#table/backend.ts';
import type { Member } from './member.ts';

/** Where this proxy runs; null when nobody told. */
export interface Place {
  readonly zone: string | null;
  readonly node: string | null;
}

/**
 * The members near enough, or all of them when none is (KEP-4444 trafficDistribution, KEP-2433 hints, KEP-3015 node).
 *
 * Hints are honoured when every member has one, as kube-proxy does: a half-hinted set is one that the slice controller
 * is still writing, and obeying it would crowd the endpoints that have theirs. Without any hints (hand-made slices) the
 * members' own zones are compared.
 */
export function nearby(members: readonly Member[], prefer: Backend['prefer'], place: Place): readonly Member[] {
  if (prefer === 'any') return members;
  if (prefer === 'node' && place.node !== null) {
    const onNode = members.filter((member) => member.row.node === place.node);
    if (onNode.length > 0) return onNode;
  }
  const { zone } = place;
  if (zone === null) return members;
  const hinted = members.filter((member) => member.row.forZones.length > 0).length;
  if (hinted > 0 && hinted < members.length) return members;
  const inZone = members.filter(({ row }) => (hinted > 0 ? row.forZones.includes(zone) : row.zone === zone));
  return inZone.length > 0 ? inZone : members;
}
