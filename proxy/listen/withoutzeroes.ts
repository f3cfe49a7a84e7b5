import type { Limits } from './limits.ts';

/** The same for the engine, which adds waits to the time of day: no limit is one that never ends. */
export function withoutZeroes(limits: Limits): Limits {
  const endless = { ...limits };
  for (const key of mayBeEndless) if (endless[key] === 0) endless[key] = Number.POSITIVE_INFINITY;
  return endless;
}

const mayBeEndless = [
  'idleMs',
  'headMs',
  'bodyIdleMs',
  'writeIdleMs',
  'upstreamIdleMs',
  'upstreamLifetimeMs',
] as const satisfies readonly (keyof Limits)[];
