import { spawnSync } from 'node:child_process';

/** For the `skip` of a test: false where promtool(1) is there, else the reason; with CI set, a failure. */
export function skipWithoutPromtool(): string | false {
  if (spawnSync('promtool', ['--version']).status === 0) return false;
  const reason = 'needs promtool(1), of the package prometheus';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** @returns what it found wrong; empty: nothing */
export function promtool(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
  return status === 0 ? '' : `${stdout}${stderr}`;
}
