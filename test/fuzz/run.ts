/** Fuzzes for ten minutes (FUZZ_SECONDS), from a seed that is said (FUZZ_SEED repeats it). */
import { spawnSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';

const { FUZZ_SECONDS = '600', FUZZ_SEED = String(randomInt(2 ** 31)) } = process.env;
console.log(`${FUZZ_SECONDS} s for each file, seed ${FUZZ_SEED}`);
const files = ['wire', 'h2wire'].map((name) => join(import.meta.dirname, `${name}.test.ts`));
const { status } = spawnSync(process.execPath, ['--test', '--test-concurrency=1', ...files], {
  stdio: 'inherit',
  env: { ...process.env, FUZZ_SECONDS, FUZZ_SEED },
});
process.exitCode = status ?? 1;
