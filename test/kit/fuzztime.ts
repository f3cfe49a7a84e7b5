import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import fc from 'fast-check';

/**
 * How long the wire is fuzzed in all, seconds: a minute in the suite, as long as one likes with
 * `FUZZ_SECONDS=3600 npm run fuzz`. The suite always begins at the same seed, `npm run fuzz` at another each time;
 * FUZZ_SEED repeats one.
 */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? 60);
const seed = Number(process.env['FUZZ_SEED'] ?? 20261121);

/** Fewer runs than this in a share of a minute: the property hangs, and proves nothing. */
const fewestRuns = 20;

/**
 * A place, from 0 to less than 1, every part as likely as every other. fc.double takes all doubles for alike, of which nine
 * in ten are next to nothing.
 */
export const anyPlace: fc.Arbitrary<number> = fc.nat({ max: 9_999 }).map((parts) => parts / 10_000);

/** Checks a property for its share (0 to 1) of the time. The seed of a failure is in its message. */
export async function fuzzed(
  context: TestContext,
  share: number,
  property: fc.IAsyncPropertyWithHooks<unknown>,
): Promise<void> {
  const details = await fc.check(property, {
    seed,
    numRuns: 1_000_000_000,
    interruptAfterTimeLimit: seconds * share * 1000,
    markInterruptAsFailure: false,
    // Shrinking takes what it takes; the time is for finding.
    endOnFailure: seconds > 60,
  });
  context.diagnostic(`${details.numRuns} runs`);
  if (details.failed) assert.fail(fc.defaultReportMessage(details as fc.RunDetails<unknown>));
  assert.ok(details.numRuns >= fewestRuns, `only ${details.numRuns} runs in the time`);
}
