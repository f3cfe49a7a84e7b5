/**
 * The machine's clock: milliseconds on CLOCK_MONOTONIC, which all its processes share and nobody sets. What processes tell
 * each other of the future is in this time, so that a clock that is put right or wrong makes nobody forget.
 */
export function uptimeMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
