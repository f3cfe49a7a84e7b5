import type { Member, Pool } from './member.ts';

/** A new endpoint begins with this share of what it gets later; with none it would never warm up. */
const firstShare = 0.1;

/** How much of what it gets later a member is to get now; 1: all of it. */
export function warmthOf(pool: Pool, member: Member, nowMs: number): number {
  if (nowMs >= pool.warmAtMs) return 1;
  return Math.min(1, Math.max(firstShare, (nowMs - member.sinceMs) / pool.slowStartMs));
}

/** Whether a member that was chosen is to be passed over this once because it is still warming up. */
export function isTooCold(pool: Pool, member: Member, random: () => number, nowMs: number): boolean {
  const warmth = warmthOf(pool, member, nowMs);
  return warmth < 1 && random() >= warmth;
}

/** When the last of the members will have warmed up. */
export function warmAtMs(members: readonly Member[], slowStartMs: number): number {
  if (slowStartMs === 0) return -Infinity;
  let latest = -Infinity;
  for (const member of members) latest = Math.max(latest, member.sinceMs + slowStartMs);
  return latest;
}
