import type { WorkerLoad } from '../listen/spreading.ts';

/** A worker that is less busy has nothing to win. Little, because where several share a core none looks busy. */
const busyFrom = 0.1;
/** Few connections are not spread evenly by sending them away again and again. */
const leastMean = 8;
/** What is above this share of the mean is too much. */
const mostShare = 1.1;
/** Of what is above the mean. Where connections come and go, what is uneven is so by chance, and soon over: most of it is let be. */
const sentAway = 0.5;

/**
 * How many connections each worker has too many. Whoever is sent away may come back to the same worker, so this converges in
 * steps; none leaves while all workers are close to the mean.
 */
export function tooMany(loads: readonly WorkerLoad[]): number[] {
  const mean = loads.reduce((sum, { connections }) => sum + connections, 0) / loads.length;
  return loads.map(({ connections, utilization }) => {
    const isCrowded = utilization >= busyFrom && mean >= leastMean && connections > mean * mostShare;
    return isCrowded ? Math.ceil((connections - mean) * sentAway) : 0;
  });
}
