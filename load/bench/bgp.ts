import type { PlanRow } from '#table/plan.ts';
import { BgpLab } from '../../test/kit/bgplab.ts';
import { skipWithoutNetns } from '../../test/kit/netns.ts';
import { planRow } from '../../test/kit/plans.ts';

interface Spread {
  p50: number;
  max: number;
}

export interface RoutesOutcome {
  /** That are announced meanwhile. */
  addresses: number;
  /** From the plan to the routes of all of them at the router, ms. */
  allMs: number;
  /** From a plan with one address more to its route at the router, and from the plan without it to the route's end, ms. */
  addedMs: Spread;
  goneMs: Spread;
  /** From the clean stop to the end of the last route at the router, ms. */
  stopMs: number;
}

/** How soon a router has what a plan says, through agent, files, BIRD and session. */
export async function measureRoutes(addresses: number, rounds = 30): Promise<RoutesOutcome> {
  const lab = await startLab('');
  try {
    await lab.apply([lab.peer('tor'), lab.announcement('rack')]);
    await lab.established();
    const rows: PlanRow[] = Array.from({ length: addresses }, (_, i) =>
      planRow('address', { id: `10.${i >>> 16}.${(i >>> 8) & 255}.${i & 255}`, announcementIds: ['rack'] }),
    );
    const last = `${rows.at(-1)?.row.id}/32`;
    const all = lab.apply(rows);
    const allMs = await timeUntil(async () => await lab.router.has(last));
    await all;
    const [added, gone]: [number[], number[]] = [[], []];
    for (let i = 0; i < rounds; i++) {
      const id = `203.0.113.${i}`;
      const applied = lab.apply([planRow('address', { id, announcementIds: ['rack'] })]);
      added.push(await timeUntil(() => lab.router.has(`${id}/32`)));
      await applied;
      const withdrawn = lab.apply([], [{ kind: 'address', id }]);
      gone.push(await timeUntil(async () => !(await lab.router.has(`${id}/32`))));
      await withdrawn;
    }
    const stopped = lab.node.endAgent('stop').then(() => lab.node.cleanUp());
    const stopMs = await timeUntil(async () => !(await lab.router.has(last)));
    await stopped;
    return { addresses, allMs, addedMs: spreadOf(added), goneMs: spreadOf(gone), stopMs };
  } finally {
    await lab.close();
  }
}

export interface SilenceOutcome {
  trials: number;
  /** From the silent loss of a node to the end of its route at the router, ms. */
  goneMs: Spread;
  /** From the repair to the route at the router again, ms. */
  backMs: Spread;
}

/** A node goes off the network without losing its carrier, with BFD of 300 ms three times, and comes back. */
export async function measureSilence(trials: number): Promise<SilenceOutcome> {
  const lab = await startLab('bfd on;');
  try {
    const bfd = { receiveMs: 300, transmitMs: 300, multiplier: 3, isPassive: false };
    const address = planRow('address', { id: '203.0.113.1', announcementIds: ['rack'] });
    await lab.apply([lab.peer('tor', { bfd }), lab.announcement('rack'), address]);
    const isThere = () => lab.router.has('203.0.113.1/32');
    const [gone, back]: [number[], number[]] = [[], []];
    for (let i = 0; i < trials; i++) {
      await timeUntil(isThere);
      // Until BFD is up, only the hold time would find a loss.
      await timeUntil(async () => /sluice_bfd_session_up\{peer="tor"\} 1/.test(await lab.node.page('/metrics')));
      await lab.silence(lab.node);
      gone.push(await timeUntil(async () => !(await isThere())));
      await lab.rejoin(lab.node);
      back.push(await timeUntil(isThere));
    }
    return { trials, goneMs: spreadOf(gone), backMs: spreadOf(back) };
  } finally {
    await lab.close();
  }
}

async function startLab(neighbour: string): Promise<BgpLab> {
  const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);
  if (skip !== false) throw new Error(skip);
  return BgpLab.start('bench', 1, neighbour);
}

/** Asks as fast as answers come: a router answers within a fraction of a millisecond. */
async function timeUntil(isDone: () => Promise<boolean>): Promise<number> {
  const startMs = performance.now();
  while (!(await isDone())) {
    if (performance.now() - startMs > 120_000) throw new Error('waited two minutes in vain');
  }
  return Math.round((performance.now() - startMs) * 10) / 10;
}

function spreadOf(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  return { p50: sorted[Math.floor(sorted.length / 2)] ?? 0, max: sorted.at(-1) ?? 0 };
}
