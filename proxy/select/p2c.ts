import type { Balancer, Member, Pool } from './member.ts';
import { isTooCold } from './slowstart.ts';

/** Draws before a member that is too cold, or the same as the first, is settled for. */
const mostDraws = 4;

/**
 * The better of two random members: nearly as even as asking all of them, O(1), and workers that know nothing of each
 * other do not herd onto the same idle endpoint (Mitzenmacher, "The power of two choices").
 *
 * @param cost lower is better. Equal: the first of the two, so that idle endpoints are used by weight
 */
export function betterOfTwo(
  pool: Pool,
  cost: (member: Member, nowMs: number) => number,
  random: () => number,
): Balancer {
  const { members } = pool;
  const draw = byWeight(members, random);
  const drawWarm = (nowMs: number): number => {
    let at = draw();
    for (let draws = 1; draws < mostDraws && isTooCold(pool, members[at] as Member, random, nowMs); draws++)
      at = draw();
    return at;
  };
  return {
    next(nowMs) {
      const firstAt = drawWarm(nowMs);
      const first = members[firstAt] as Member;
      if (members.length === 1) return first;
      let secondAt = drawWarm(nowMs);
      for (let draws = 1; draws < mostDraws && secondAt === firstAt; draws++) secondAt = drawWarm(nowMs);
      if (secondAt === firstAt) {
        secondAt = (firstAt + 1) % members.length;
        if (isTooCold(pool, members[secondAt] as Member, random, nowMs)) return first;
      }
      const second = members[secondAt] as Member;
      return cost(second, nowMs) < cost(first, nowMs) ? second : first;
    },
  };
}

/** Fewer requests in flight per weight. */
export function requestsInFlight(member: Member): number {
  return member.state.inFlight / member.row.weight;
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
