import type { Outlier } from '#table/resilience.ts';
import type { LiveEndpoint } from './endpoint.ts';

type Settings = NonNullable<Outlier['successRate']>;

/** Smaller differences are noise: without it, one failure among thousands would stand out where the others have none. */
const leastGap = 0.05;

/**
 * Success rates of one backend's endpoints, interval by interval. The endpoints count for ever and for all backends; here
 * is what they had counted when the interval began. No clock runs: an interval ends with the first pick after its time.
 */
export class SuccessRates {
  /** The interval in progress ends then. */
  endsAtMs = Number.POSITIVE_INFINITY;
  /** Most backends never begin one. */
  #marks: WeakMap<LiveEndpoint, { uid: string; results: number; failures: number }> | null = null;

  /** Begins an interval. */
  begin(endpoints: Iterable<LiveEndpoint>, settings: Settings, nowMs: number): void {
    this.endsAtMs = nowMs + settings.intervalMs;
    this.#marks ??= new WeakMap();
    for (const endpoint of endpoints) {
      const { results, failures } = endpoint;
      this.#marks.set(endpoint, { uid: endpoint.endpoint.uid, results, failures });
    }
  }

  /** Those that are in and did much worse than the others since the interval began. */
  outliers(endpoints: Iterable<LiveEndpoint>, settings: Settings, nowMs: number): LiveEndpoint[] {
    const compared: { endpoint: LiveEndpoint; rate: number }[] = [];
    for (const endpoint of endpoints) {
      const mark = this.#marks?.get(endpoint);
      if (mark?.uid !== endpoint.endpoint.uid || endpoint.ejection.untilMs > nowMs) continue;
      const results = endpoint.results - mark.results;
      if (results < settings.minRequests) continue;
      compared.push({ endpoint, rate: 1 - (endpoint.failures - mark.failures) / results });
    }
    if (compared.length < settings.minEndpoints) return [];
    const least = lowestNormalRate(
      compared.map(({ rate }) => rate),
      settings.deviations,
    );
    return compared.filter(({ rate }) => rate < least).map(({ endpoint }) => endpoint);
  }
}

/** Below it a rate stands out: so many standard deviations under the mean, and by more than noise. */
export function lowestNormalRate(rates: readonly number[], deviations: number): number {
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const variance = rates.reduce((sum, rate) => sum + (rate - mean) ** 2, 0) / rates.length;
  return Math.min(mean - deviations * Math.sqrt(variance), mean - leastGap);
}
