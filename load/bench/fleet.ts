import type { LoadPlan } from './generator.ts';
import { startGenerator } from './load.ts';
import { cpuMicros, treeOf } from './measure.ts';

/** How a proxy of several workers uses its backend connections, and how even its workers are loaded, by unit. */
export async function fleetFigures(
  pid: number,
  plan: LoadPlan,
  backendPort: number,
  warmUpSeconds: number,
  seconds: number,
  core: string,
): Promise<Record<string, number>> {
  const load = await startGenerator(plan, core);
  try {
    await load.run({ rate: 0, seconds: warmUpSeconds });
    const workers = workersOf(pid);
    const madeBefore = await connectionsMade(backendPort);
    const usedBefore = workers.map((worker) => cpuMicros([worker]));
    const { requests } = await load.run({ rate: 0, seconds });
    const used = workers.map((worker, i) => cpuMicros([worker]) - (usedBefore[i] as number));
    // The one that asked is counted, too.
    const made = (await connectionsMade(backendPort)) - madeBefore - 1;
    const mean = used.reduce((sum, each) => sum + each, 0) / used.length;
    return {
      'requests per backend connection made': requests / Math.max(1, made),
      'busiest worker ÷ mean': Math.max(...used) / mean,
    };
  } finally {
    await load.stop();
  }
}

/** The processes at the ends of the tree: workers start none. */
function workersOf(pid: number): number[] {
  return treeOf(pid).filter((each) => treeOf(each).length === 1);
}

async function connectionsMade(backendPort: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${backendPort}/connections`, { headers: { connection: 'close' } });
  return Number(await response.text());
}
