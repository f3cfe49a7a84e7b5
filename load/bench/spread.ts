/** What is told of many times, ms. */
export function spreadOf(times: readonly number[]): { p50: number; p99: number; max: number } {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(10 * (sorted[Math.ceil(sorted.length * share) - 1] ?? 0)) / 10;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}
