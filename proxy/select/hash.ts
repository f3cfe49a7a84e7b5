/**
 * Hash of text, the same in every worker and every replica. Not secret: for places on rings, never for authenticity.
 *
 * @param seed hashes of different seeds are independent of each other
 * @returns 0 … 2^32 − 1
 */
export function hashText(text: string, seed: number): number {
  let hash = seed ^ 0x811c9dc5;
  for (let at = 0; at < text.length; at++) {
    hash = Math.imul(hash ^ text.charCodeAt(at), 0x9e3779b1);
    hash ^= hash >>> 15;
  }
  return mix(hash);
}

/** Spreads 32 bits over 32 bits so that neighbours end far apart (the finaliser of MurmurHash3). */
export function mix(bits: number): number {
  let mixed = bits ^ (bits >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
