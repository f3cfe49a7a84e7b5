import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '../watch/api.ts';
import { type Check, checksOf, isWell } from './checks.ts';
import { type FactsOptions, gatherFacts } from './facts.ts';

export interface StatusOptions extends FactsOptions {
  /** How long to wait until all is well, ms; 0: look once. */
  readonly waitMs: number;
  print(text: string): void;
}

/** Prints the checklist; while it waits, the lines that change. @returns whether all is well */
export async function showStatus(cluster: Cluster, options: StatusOptions): Promise<boolean> {
  const deadlineMs = performance.now() + options.waitMs;
  const shown = new Map<string, string>();
  for (;;) {
    const checks = checksOf(await gatherFacts(cluster, options), Date.now());
    for (const check of checks) {
      const line = lineOf(check);
      if (shown.get(check.name) !== line) options.print(line);
      shown.set(check.name, line);
    }
    if (isWell(checks)) return true;
    if (performance.now() + everyMs > deadlineMs) return false;
    await sleep(everyMs);
  }
}

const everyMs = 1_000;

function lineOf({ name, state, detail }: Check): string {
  return `${state.padEnd(8)} ${name.padEnd(13)} ${detail}\n`;
}
