import { hashText, mix } from './hash.ts';
import type { Member } from './member.ts';

/**
 * Consistent hashing: every member has places on a ring of 2^32, a key belongs to the first place at or after it. One
 * member more or less moves about one key in n, and every worker and replica draws the same ring.
 */
export interface Ring {
  readonly members: readonly Member[];
  /** Places, ascending, and whose they are. */
  readonly places: Uint32Array;
  readonly owners: Uint32Array;
}

/**
 * Places come from the members' keys alone, so their order does not matter.
 *
 * @param old the ring before; its places are kept when endpoints and weights are still the same
 */
export function drawRing(unordered: readonly Member[], old: Ring | null): Ring {
  const members = unordered.toSorted((a, b) => (a.state.key < b.state.key ? -1 : 1));
  if (old !== null && isSame(old.members, members)) return { ...old, members };
  const perMember = placesPerMember(members.length);
  const meanWeight = members.reduce((sum, member) => sum + member.row.weight, 0) / members.length;
  const counts = members.map(({ row, state }) =>
    Math.max(1, Math.floor((perMember * row.weight) / meanWeight + state.keyHash / 2 ** 32)),
  );
  // Place and owner in one double (32 + 20 bits), because a Float64Array sorts ten times faster than pairs.
  const packed = new Float64Array(counts.reduce((sum, count) => sum + count, 0));
  let at = 0;
  for (const [owner, { state }] of members.entries()) {
    const first = hashText(state.key, 1);
    const second = hashText(state.key, 2);
    for (let nth = 0; nth < (counts[owner] as number); nth++) {
      packed[at++] = mix(first ^ mix(second + Math.imul(nth, 0x9e3779b9))) * 2 ** 20 + owner;
    }
  }
  packed.sort();
  const places = new Uint32Array(packed.length);
  const owners = new Uint32Array(packed.length);
  for (let nth = 0; nth < packed.length; nth++) {
    const place = Math.floor((packed[nth] as number) / 2 ** 20);
    places[nth] = place;
    owners[nth] = (packed[nth] as number) - place * 2 ** 20;
  }
  return { members, places, owners };
}

/** The owner of a key, or the next one on the ring that `accepts` takes; null when it takes none. */
export function findOnRing(ring: Ring, hash: number, accepts: (member: Member) => boolean): Member | null {
  const { members, places, owners } = ring;
  let low = 0;
  let high = places.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((places[middle] as number) < hash) low = middle + 1;
    else high = middle;
  }
  for (let steps = 0; steps < places.length; steps++) {
    const member = members[owners[(low + steps) % places.length] as number] as Member;
    if (accepts(member)) return member;
  }
  return null;
}

function isSame(old: readonly Member[], now: readonly Member[]): boolean {
  return (
    old.length === now.length &&
    now.every((member, at) => old[at]?.state.key === member.state.key && old[at]?.row.weight === member.row.weight)
  );
}

/**
 * 160 places keep shares within about 8 % of even. Large sets have fewer, or drawing the ring would hold up traffic: with 512
 * and more members the ring keeps its size, until each has 16. Of a fraction of a place (each member by its own hash) a part of
 * the members has one, so that one member more takes a place from few of them, and not from all: that would move keys of all.
 */
function placesPerMember(memberCount: number): number {
  return Math.max(16, Math.min(160, (160 * 512) / memberCount));
}
