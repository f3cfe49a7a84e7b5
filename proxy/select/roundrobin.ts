import type { Balancer, Member, Pool } from './member.ts';
import { isTooCold } from './slowstart.ts';

/**
 * In turn, by weight. Begins at a random place: workers and replicas that all begin with the first endpoint would send
 * it their first requests together.
 */
export function roundRobin(pool: Pool, random: () => number): Balancer {
  const { members } = pool;
  const isEven = members.every((member) => member.row.weight === members[0]?.row.weight);
  const turn = isEven ? evenTurn(members, random) : weightedTurn(members, random);
  return {
    next(nowMs) {
      let member = turn();
      for (let skips = members.length; skips > 1 && isTooCold(pool, member, random, nowMs); skips--) member = turn();
      return member;
    },
  };
}

function evenTurn(members: readonly Member[], random: () => number): () => Member {
  let at = Math.floor(random() * members.length);
  return () => {
    at = at + 1 < members.length ? at + 1 : 0;
    return members[at] as Member;
  };
}

/**
 * Earliest deadline first: a heap of when each is due next, one over its weight apart. Exact shares, well interleaved,
 * O(log n), where nginx's smooth weighted round robin looks at every endpoint for every request.
 */
function weightedTurn(members: readonly Member[], random: () => number): () => Member {
  const heap = members.map((member) => ({ member, step: 1 / member.row.weight, due: random() / member.row.weight }));
  heap.sort((a, b) => a.due - b.due);
  return () => {
    const top = heap[0] as (typeof heap)[number];
    top.due += top.step;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && due(child + 1) < due(child)) child++;
      if (due(child) >= top.due) break;
      heap[at] = heap[child] as typeof top;
      at = child;
    }
    heap[at] = top;
    return top.member;
  };
  function due(at: number): number {
    return (heap[at] as (typeof heap)[number]).due;
  }
}
