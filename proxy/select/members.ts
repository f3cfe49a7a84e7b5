import type { Backend, Endpoint } from '#table/backend.ts';
import type { LiveEndpoint } from './endpoint.ts';
import type { Member } from './member.ts';
import { ejectableCount } from './outlier.ts';

/**
 * The endpoints of a backend that count at all (KEP-1672): the ready ones; when none is ready, those that terminate but
 * still serve; never others.
 */
export function tierOf(members: readonly Member[]): readonly Member[] {
  const ready = members.filter((member) => member.row.ready);
  return ready.length > 0 ? ready : members.filter(isLeaving);
}

/** Not ready any more: on its way out, but still doing its work. */
function isLeaving({ row }: Member): boolean {
  return rank(row) === 1;
}

/**
 * Marks who can take requests now: of the tier, without those that fail their probes, and without the ejected ones as
 * far as the limit allows. When that leaves nobody, or a smaller share than the row wants, all of the tier are used: a guess
 * is better than a certain 503, and than to crowd the last ones until they fail, too. Where nobody is left and somebody passes its
 * probes, it is no guess that the others are ill: they stay out.
 *
 * @returns when the next ejection ends, ms; Infinity when none is
 */
export function markUsable(
  members: readonly Member[],
  tier: readonly Member[],
  row: Backend,
  unhealthy: ReadonlyMap<string, unknown>,
  nowMs: number,
): number {
  for (const member of members) member.isUsable = false;
  const ejected: Member[] = [];
  let usableCount = 0;
  let returnMs = Number.POSITIVE_INFINITY;
  for (const member of tier) {
    const { ejection } = member.state;
    if (ejection.untilMs > nowMs) ejected.push(member);
    member.isUsable = ejection.untilMs <= nowMs && !unhealthy.has(member.state.key);
    if (member.isUsable) usableCount++;
  }
  const surplus = ejected.length - ejectableCount(tier.length, row.outlier.maxEjectedPercent);
  if (surplus > 0) {
    // Back before their time: those that would be back soonest anyway.
    ejected.sort((a, b) => a.state.ejection.untilMs - b.state.ejection.untilMs);
    for (const member of ejected.slice(0, surplus)) {
      if (unhealthy.has(member.state.key)) continue;
      member.isUsable = true;
      usableCount++;
    }
  }
  if (usableCount * 100 < tier.length * row.panicPercent) {
    for (const member of tier) member.isUsable = true;
  } else if (usableCount === 0) {
    const isAnyWell = ejected.some(({ state }) => !unhealthy.has(state.key));
    for (const member of tier) member.isUsable = !(isAnyWell && unhealthy.has(member.state.key));
  }
  // Of those that go as well: they have their sessions back.
  for (const member of members) {
    const { key, ejection } = member.state;
    if (ejection.untilMs > nowMs) returnMs = Math.min(returnMs, ejection.untilMs);
    const isOut = ejection.untilMs > nowMs || unhealthy.has(key);
    member.canKeepSession = member.isUsable || (isLeaving(member) && !isOut);
  }
  return returnMs;
}

/** Members for new rows; those that stay keep the time since when they take traffic. */
export function renewMembers(
  old: readonly Member[],
  rows: Iterable<{ state: LiveEndpoint; row: Endpoint }>,
  nowMs: number,
): readonly Member[] {
  const sinceByKey = new Map<string, number>();
  for (const member of old) {
    if (member.row.ready) sinceByKey.set(`${member.state.key} ${member.row.uid}`, member.sinceMs);
  }
  // The first endpoints of a backend are not new ones beside old ones: nothing is gained by starting them slowly.
  const newSinceMs = sinceByKey.size === 0 ? Number.NEGATIVE_INFINITY : nowMs;
  const membersByKey = new Map<string, Member>();
  for (const { state, row } of rows) {
    // One address may stand in several slices while a pod moves between them; the row that allows most is the one.
    const twin = membersByKey.get(state.key);
    if (twin !== undefined && rank(twin.row) >= rank(row)) continue;
    const sinceMs = sinceByKey.get(`${state.key} ${row.uid}`) ?? newSinceMs;
    membersByKey.set(state.key, { state, row, sinceMs, isUsable: false, canKeepSession: false });
  }
  return [...membersByKey.values()];
}

function rank(row: Endpoint): number {
  if (row.ready) return 2;
  return row.serving && row.terminating ? 1 : 0;
}
