import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutNetns } from '../kit/netns.ts';
import { childrenOf } from '../kit/procfs.ts';
import { SluiceProcess } from '../kit/sluice.ts';

const skip = await skipWithoutNetns(['unshare']);

test('a signal that comes while the first process of a container starts ends it', { skip }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-test-'));
  const key = join(folder, 'key');
  execFileSync('mkfifo', [key]);
  const files = ['--controller-ca', join(folder, 'ca.crt'), '--token-file', join(folder, 'token')];
  const state = ['--state-dir', join(folder, 'state'), '--state-key-file', key];
  const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0', '--admin-address', '127.0.0.1'];
  const proxy = new SluiceProcess(
    ['proxy', '--controller', 'https://127.0.0.1:1', '--name', 'first', '--workers', '1', ...files, ...state, ...ports],
    {},
    { entry: ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] },
  );
  try {
    // Opens as soon as the start has come to the key, which it waits for.
    const pipe = await open(key, 'w');
    const [first = 0] = childrenOf(proxy.pid);
    process.kill(first, 'SIGTERM');
    await pipe.writeFile(randomBytes(32).toString('base64'));
    await pipe.close();
    assert.deepEqual(await proxy.ended(), { code: 143, signal: null });
  } finally {
    proxy.signal('SIGKILL');
    await proxy.ended();
    await rm(folder, { recursive: true });
  }
});
