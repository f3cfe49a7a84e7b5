/**
 * Runs the test files. `npm test` runs all; `npm test -- wire` runs those whose path contains `wire`.
 * `npm run cluster` runs those of test/cluster, which change the cluster that KUBECONFIG names.
 * Files run side by side, one process each; two at a time, because most of them start processes of their own. Those whose clients
 * are a crowd run after them, one at a time: they fill what the kernel has for sockets, and it drops then what others are sent.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const wanted = process.argv.slice(2);
const files = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.test.ts') && !path.startsWith('house/') && !path.startsWith('cluster/'))
  .map((path) => join('test', path))
  .filter((path) => wanted.length === 0 || wanted.some((part) => path.includes(part)))
  .sort();

if (files.length === 0) {
  console.error(`no test file's path contains ${wanted.join(' or ')}`);
  process.exit(2);
}

const { crowd = [], others = [] } = Object.groupBy(files, (file) =>
  readFileSync(join(root, file), 'utf8').includes("'../kit/attack.ts'") ? 'crowd' : 'others',
);
for (const { some, atOnce } of [
  { some: others, atOnce: 2 },
  { some: crowd, atOnce: 1 },
]) {
  if (some.length === 0) continue;
  const args = ['--test', `--test-concurrency=${atOnce}`, ...some];
  const [code] = await once(spawn(process.execPath, args, { cwd: root, stdio: 'inherit' }), 'exit');
  if (code !== 0) process.exitCode = 1;
}
