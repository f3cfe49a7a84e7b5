import type { Balancer, Member, Pool } from './member.ts';
import { isTooCold, warmthOf } from './slowstart.ts';

/** Draws before a member that is the same as the first is settled for. */
const mostDraws = 4;
/** The same for one that is too cold, of which there are a few seconds of draws in the life of an endpoint. */
const mostWarmDraws = 8;

/**
 * The better of two random members: nearly as even as asking all of them, O(1), and workers that know nothing of each
 * other do not herd onto the same idle endpoint (Mitzenmacher, "The power of two choices").
 *
 * Whoever is warming up is seldom drawn, and what is in flight at it counts for more: it is the idlest of all, and would win wherever
 * it is compared, which of two endpoints is always.
 *
 * @param cost lower is better. Equal: the first of the two, so that idle endpoints are used by weight
 */
export function betterOfTwo(
  pool: Pool,
  cost: (member: Member, nowMs: number, warmth: number) => number,
  random: () => number,
): Balancer {
  const { members } = pool;
  const draw = byWeight(members, random);
  const drawWarm = (nowMs: number): number => {
    let at = draw();
    for (let draws = 1; draws < mostWarmDraws && isTooCold(pool, members[at] as Member, random, nowMs); draws++)
      at = draw();
    return at;
  };
  return {
    next(nowMs) {
      const firstAt = drawWarm(nowMs);
      const first = members[firstAt] as Member;
      if (members.length === 1) return first;
      let secondAt = draw();
      for (let draws = 1; draws < mostDraws && secondAt === firstAt; draws++) secondAt = draw();
      if (secondAt === firstAt) secondAt = (firstAt + 1) % members.length;
      const second = members[secondAt] as Member;
      if (isTooCold(pool, second, random, nowMs)) return first;
      const firstCost = cost(first, nowMs, warmthOf(pool, first, nowMs));
      return cost(second, nowMs, warmthOf(pool, second, nowMs)) < firstCost ? second : first;
    },
  };
}

/** Fewer requests in flight per weight. */
export function requestsInFlight(member: Member, _nowMs: number, warmth: number): number {
  return member.state.inFlight / (member.row.weight * warmth);
}

/** Draws the index of a member with the odds of its weight. */
function byWeight(members: readonly Member[], random: () => number): () => number {
  if (members.every((member) => member.row.weight === members[0]?.row.weight)) {
    return () => Math.floor(random() * members.length);
  }
  const sums = new Float64Array(members.length);
  let total = 0;
  for (const [at, member] of members.entries()) {
    total += member.row.weight;
    sums[at] = total;
  }
  return () => {
    const wanted = random() * total;
    let low = 0;
    let high = members.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
