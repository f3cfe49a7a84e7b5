import assert from 'node:assert/strict';
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Log } from '#kit/log.ts';
import { Bird } from '../../proxy/speak/bird.ts';
import { quiet } from '../kit/quiet.ts';

test('attempts to start BIRD that the kernel refuses leave no file open', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = process.env['PATH'];
  // No process may begin with as much in one variable.
  process.env['PATH'] = `${path}:/${'x'.repeat(200_000)}`;
  t.after(() => {
    process.env['PATH'] = path;
  });
  for (let attempt = 0; attempt < 3; attempt++) {
    const bird = new Bird({ dir, onUp: () => {}, restartDelayMs: () => 0, log: quiet });
    await bird.keep();
    bird.leave();
    assert.match(bird.downReason ?? '', /E2BIG/);
  }
  assert.deepEqual(await filesOpenIn(dir), []);
});

test('a BIRD that is not installed is not said to have been started', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  t.after(() => rm(dir, { recursive: true }));
  const path = process.env['PATH'];
  process.env['PATH'] = dir;
  t.after(() => {
    process.env['PATH'] = path;
  });
  const said: string[] = [];
  const log: Log = { ...quiet, info: (_fields, message) => said.push(message) };
  const bird = new Bird({ dir, onUp: () => {}, restartDelayMs: () => 0, log });
  await bird.keep();
  bird.leave();
  assert.equal(bird.downReason, 'bird is not installed');
  assert.equal(bird.starts, 0);
  assert.deepEqual(said, []);
});

async function filesOpenIn(dir: string): Promise<string[]> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return targets.filter((target) => target.startsWith(dir));
}
