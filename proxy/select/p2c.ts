import type { Balancer, Member, Pool } from './member.ts';
import { isTooCold } from './slowstart.ts';

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
  const warmDraw = (nowMs: number): Member => {
    let member = draw();
    for (let draws = 1; draws < 4 && isTooCold(pool, member, random, nowMs); draws++) member = draw();
    return member;
  };
  return {
    next(nowMs) {
      const first = warmDraw(nowMs);
      if (members.length === 1) return first;
      let second = warmDraw(nowMs);
      for (let draws = 1; draws < 4 && second === first; draws++) second = warmDraw(nowMs);
      return cost(second, nowMs) < cost(first, nowMs) ? second : first;
    },
  };
}

/** Fewer requests in flight per weight. */
export function requestsInFlight(member: Member): number {
  return member.state.inFlight / member.row.weight;
}

function byWeight(members: readonly Member[], random: () => number): () => Member {
  if (members.every((member) => member.row.weight === members[0]?.row.weight)) {
    return () => members[Math.floor(random() * members.length)] as Member;
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
    return members[low] as Member;
  };
}
