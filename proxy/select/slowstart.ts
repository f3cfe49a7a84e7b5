import type { Member, Pool } from './member.ts';

/** A new endpoint begins with this share of what it gets later; with none it would never warm up. */
const firstShare = 0.1;

/** Whether a member that was chosen is to be passed over this once because it is still warming up. */
export function isTooCold(pool: Pool, member: Member, random: () => number, nowMs: number): boolean {
  if (nowMs >= pool.warmAtMs) return false;
  const grown = (nowMs - member.sinceMs) / pool.slowStartMs;
  return grown < 1 && random() >= Math.max(firstShare, grown);
}

/** When the last of the members will have warmed up. */
export function warmAtMs(members: readonly Member[], slowStartMs: number): number {
  if (slowStartMs === 0) return -Infinity;
  let latest = -Infinity;
  for (const member of members) latest = Math.max(latest, member.sinceMs + slowStartMs);
  return latest;
}
