import { hashText, mix } from './hash.ts';
import type { Member } from './member.ts';

/**
 * The member that a key scores highest with (weighted rendezvous hashing). All workers and replicas agree without
 * talking; a member that goes moves only its own keys. O(n): for picks that are remembered.
 */
export function rendezvous(
  members: readonly Member[],
  key: string,
  accepts: (member: Member) => boolean,
): Member | null {
  const keyHash = hashText(key, 3);
  let best: Member | null = null;
  let bestScore = -1;
  for (const member of members) {
    if (!accepts(member)) continue;
    const uniform = (mix(keyHash ^ member.state.keyHash) + 1) / (2 ** 32 + 1);
    const score = member.row.weight / -Math.log(uniform);
    if (score > bestScore || (score === bestScore && best !== null && member.state.key < best.state.key)) {
      best = member;
      bestScore = score;
    }
  }
  return best;
}
