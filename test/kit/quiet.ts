import type { Log } from '#kit/log.ts';

/** For parts under test that have something to say; `SLUICE_TEST_LOG=1` lets them. */
const say = process.env['SLUICE_TEST_LOG']
  ? (fields: object, message: string) => process.stderr.write(`${message} ${JSON.stringify(fields)}\n`)
  : () => undefined;

export const quiet: Log = { debug: say, info: say, warn: say, error: say };
