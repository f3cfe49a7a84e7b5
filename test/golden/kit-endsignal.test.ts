import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';

const file = join(import.meta.dirname, '../../proxy/kit/endsignal.ts');
const program = `
  const { endSignal } = await import(${JSON.stringify(file)});
  setInterval(() => {}, 1_000);
  process.on('SIGHUP', () => console.log('SIGHUP has come'));
  const ending = endSignal('SIGHUP').then((signal) => console.log(signal));
  console.log('started');
  await ending;
`;

for (const [first, ...more] of [
  ['SIGTERM', 'SIGTERM'],
  ['SIGTERM', 'SIGINT'],
  ['SIGINT', 'SIGTERM'],
  ['SIGHUP', 'SIGHUP', 'SIGINT'],
] as const) {
  test(`${first} begins the end, and ${more.join(', then ')} is somebody who cannot wait for it`, async (t) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    const told = child.stdout[Symbol.asyncIterator]();
    let printed = '';
    const awaitWord = async (word: string) => {
      while (!printed.includes(`${word}\n`)) {
        const { value, done } = await told.next();
        assert.ok(!done, `no ${word} in: ${printed}`);
        printed += String(value);
      }
      printed = '';
    };
    await awaitWord('started');
    child.kill(first);
    await awaitWord(first);
    const ended = once(child, 'exit');
    for (const signal of more) {
      assert.equal(child.exitCode, null);
      child.kill(signal);
      if (signal === 'SIGHUP') await awaitWord('SIGHUP has come');
    }
    assert.deepEqual(await ended, [1, null]);
  });
}
