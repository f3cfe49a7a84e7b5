import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LoadPlan, LoadResult } from './generator.ts';

/** Processor time that a process tree has used so far, µs, from the scheduler's own nanosecond accounts. */
function cpuMicros(pids: readonly number[]): number {
  let nanos = 0;
  for (const pid of pids) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanos += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
    }
  }
  return nanos / 1000;
}

/** The process and all that it started. */
export function treeOf(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    for (const thread of readdirSync(`/proc/${found[i]}/task`)) {
      const children = readFileSync(`/proc/${found[i]}/task/${thread}/children`, 'utf8').trim();
      if (children) found.push(...children.split(' ').map(Number));
    }
  }
  return found;
}

/** Proportional set size of a process tree, KiB: shared pages are counted once. */
export function memoryKib(pids: readonly number[]): number {
  let total = 0;
  for (const pid of pids) {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    total += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
  }
  return total;
}

/** Runs the generator in a process of its own on the given core. */
function runLoad(plan: LoadPlan, core: string): Promise<LoadResult> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadResult>();
  const generator = join(import.meta.dirname, 'generator.ts');
  const child = spawn('taskset', ['-c', core, process.execPath, generator, JSON.stringify(plan)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.on('error', reject);
  child.on('exit', (code) => {
    if (code === 0 && text) resolve(JSON.parse(text) as LoadResult);
    else reject(new Error(`the generator ended with ${code}`));
  });
  return promise;
}

export interface Sample {
  microsPerRequest: number;
  requestsPerSecond: number;
  failed: number;
  p50Ms: number;
  p99Ms: number;
}

/** CPU per request of a peer while it serves one load plan. */
export async function sample(pid: number, plan: LoadPlan, core: string): Promise<Sample> {
  const before = cpuMicros(treeOf(pid));
  const load = await runLoad(plan, core);
  const used = cpuMicros(treeOf(pid)) - before;
  return {
    microsPerRequest: used / Math.max(1, load.requests),
    requestsPerSecond: load.requests / load.seconds,
    failed: load.failed,
    p50Ms: load.p50Ms,
    p99Ms: load.p99Ms,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
