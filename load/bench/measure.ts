import { readdirSync, readFileSync } from 'node:fs';

/** Processor time that a process tree has used so far, µs, from the scheduler's own nanosecond accounts. */
export function cpuMicros(pids: readonly number[]): number {
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

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}
