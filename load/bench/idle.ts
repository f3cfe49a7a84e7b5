import type { LoadPlan } from './generator.ts';
import { type Script, startScript } from './load.ts';
import { memoryKib, treeOf } from './measure.ts';

/**
 * Memory of one idle connection, bytes: opens many, each does one request, and the growth of the proxy's memory is divided
 * among them. A first batch warms pools and code and is closed before the measured one.
 */
export async function idleMemory(pid: number, plan: LoadPlan, core: string): Promise<number> {
  const warm = await hold({ ...plan, connections: 500 }, core);
  await warm.stop();
  const before = memoryKib(treeOf(pid));
  const held = await hold(plan, core);
  const after = memoryKib(treeOf(pid));
  await held.stop();
  return ((after - before) * 1024) / plan.connections;
}

/** Starts a process that holds idle connections; resolves when each has had its answer. */
async function hold(plan: LoadPlan, core: string): Promise<Script> {
  const holder = startScript('holder.ts', [JSON.stringify(plan)], core);
  await holder.line();
  return holder;
}
