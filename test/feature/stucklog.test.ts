import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { everythingTo, toYaml } from '../kit/manifests.ts';
import { waitUntil } from '../kit/wait.ts';

const program = resolve(import.meta.dirname, '../../sluice.js');

test('a stderr that nobody reads holds nothing up, and is written to again when it is read', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-test-'));
  const manifests = join(folder, 'all.yaml');
  writeFileSync(manifests, toYaml(everythingTo(9)));
  const pipe = join(folder, 'stderr.pipe');
  execFileSync('mkfifo', [pipe]);
  const reader = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK);
  const theirs = openSync(pipe, constants.O_WRONLY);
  fill(reader);
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0'];
  const args = [program, 'standalone', '--manifests', folder, '--workers', '1', '--log-level', 'debug', ...ports];
  const sluice = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', theirs] });
  closeSync(theirs);
  let printed = '';
  sluice.stdout?.on('data', (bytes: Buffer) => {
    printed += bytes.toString();
  });
  try {
    await waitUntil(() => /admin +http:/.test(printed), 'the ports');
    let read = takeAll(reader);
    assert.equal(read.replaceAll('-', ''), '');
    writeFileSync(manifests, toYaml(everythingTo(10)));
    await waitUntil(() => {
      read += takeAll(reader);
      return read.includes('\n');
    }, 'lines');
    // The last one may not be there whole yet.
    const whole = read.slice(0, read.lastIndexOf('\n'));
    for (const line of whole.replaceAll('-', '').split('\n')) assert.equal(typeof JSON.parse(line).msg, 'string');
    sluice.kill('SIGTERM');
    assert.deepEqual(await once(sluice, 'exit'), [0, null]);
  } finally {
    sluice.kill('SIGKILL');
    closeSync(reader);
    rmSync(folder, { recursive: true });
  }
});

/** Until not a byte more goes in. */
function fill(pipe: number): void {
  for (const piece of ['-'.repeat(4_096), '-']) {
    try {
      for (;;) writeSync(pipe, piece);
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
    }
  }
}

/** What is in it now. */
function takeAll(pipe: number): string {
  const buffer = Buffer.alloc(65_536);
  let text = '';
  try {
    for (;;) text += buffer.toString('utf8', 0, readSync(pipe, buffer));
  } catch (error) {
    assert.equal((error as NodeJS.ErrnoException).code, 'EAGAIN');
  }
  return text;
}
