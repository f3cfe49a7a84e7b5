import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { hasPool, skipWithoutCluster } from './installation.ts';

const program = process.env['SLUICE_HANDS'] ?? '';

/** For the `skip` of a test that needs hands, and addresses of the edge. */
export const skipWithoutHands =
  skipWithoutCluster ||
  (!hasPool && 'needs SLUICE_POOL: a range of addresses for the edge') ||
  (program === '' && 'needs SLUICE_HANDS: a program that stops and starts nodes and the API server');

/** Does to the cluster what its API cannot: the program that SLUICE_HANDS names knows how. */
export async function hands(
  ...words: ['api-stop'] | ['api-start'] | ['node-stop' | 'node-start', string]
): Promise<void> {
  await promisify(execFile)(program, words);
}
