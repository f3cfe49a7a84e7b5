import { createHash } from 'node:crypto';

/** What BIRD calls the parts of one peer. */
export interface PeerNames {
  readonly protocol: string;
  /** By family: what the peer hears stands in tables of its own, filled by protocols of its own. */
  readonly tables: { readonly 4: string; readonly 6: string };
  readonly statics: { readonly 4: string; readonly 6: string };
}

/**
 * Every name has a prefix, because words such as `rr` are keywords, and none is longer than a symbol of BIRD may be. What a
 * symbol cannot hold of an id stands in a hash behind it.
 */
export function namesOf(peerId: string): PeerNames {
  const stem = peerStem(peerId);
  return {
    protocol: `p_${stem}`,
    tables: { 4: `t4_${stem}`, 6: `t6_${stem}` },
    statics: { 4: `s4_${stem}`, 6: `s6_${stem}` },
  };
}

function peerStem(peerId: string): string {
  if (/^[a-z0-9]{1,40}$/.test(peerId)) return peerId;
  const hash = createHash('sha256').update(peerId).digest('hex').slice(0, 12);
  return `${peerId.slice(0, 40).replace(/[^A-Za-z0-9]/g, '_')}_${hash}`;
}
