import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** V8's threads, as Node names them. */
const helperName = 'node-V8Worker';

/** How much nicer than the thread that serves requests: a tenth of its weight where both want the same core. */
const nicer = 10;

/**
 * Has V8's helpers (collecting, compiling) run while no request has anything to do. At equal priority the scheduler gives one that is
 * at work its whole slice, up to a tick of 4 ms, before the thread that a request has woken, and takes turns by ticks when both run.
 * A collection can wait for what its helper has begun; then its own thread sleeps, and leaves the core to it. Only where there are more
 * busy workers than cores do others come first, by ten to one at the most; other pods have a weight of their own.
 *
 * Linux alone has priorities of threads, and a process may always lower its own.
 */
export function letHelpersYield(): void {
  if (process.platform !== 'linux') return;
  const priority = Math.min(getPriority() + nicer, 19);
  for (const thread of readdirSync('/proc/self/task')) {
    // One that has ended meanwhile is no helper.
    try {
      if (readFileSync(`/proc/self/task/${thread}/comm`, 'latin1').trim() === helperName)
        setPriority(Number(thread), priority);
    } catch {}
  }
}
