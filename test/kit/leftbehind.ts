import assert from 'node:assert/strict';
import { childrenOf, residentBytes } from './procfs.ts';
import type { Standalone } from './sluice.ts';
import { eventually } from './wait.ts';

/** Memory of the one worker. */
export function residentOf(sluice: Standalone): number {
  return residentBytes(childrenOf(sluice.process.pid)[0] ?? 0);
}

/** After whatever was done to it, a gateway of one worker is at rest, and has grown by no more than what warms up. */
export async function assertNothingLeft(sluice: Standalone, startBytes: number): Promise<void> {
  await eventually(async () => {
    const text = await sluice.admin('/metrics');
    const isIdle =
      /^sluice_http_requests_in_flight 0$/m.test(text) && !/^sluice_connections\{[^}]*\} [1-9]/m.test(text);
    return isIdle || undefined;
  }, 'the gateway to be idle');
  const grown = residentOf(sluice) - startBytes;
  // Code and pools that warm up take some; what leaks by the request takes more in a minute.
  assert.ok(grown < 150 * 1024 * 1024, `the worker grew by ${Math.round(grown / 1024 / 1024)} MiB`);
}
