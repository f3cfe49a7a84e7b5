import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'sluice-loaded-'));
after(() => rmSync(dir, { recursive: true, force: true }));

const hook = pathToFileURL(join(import.meta.dirname, '../kit/toldmodules.ts')).href;
const manifests = [ingressClass(), ingress({ name: 'all', paths: { '/': 'one' } }), ...service('one', [9])];

test('the client of Redis is loaded where an address of one is given, and only there', async () => {
  const isLoaded = (file: string): boolean => readFileSync(file, 'utf8').includes('/node_modules/ioredis/');
  const start = (file: string, ...args: string[]): Promise<Standalone> =>
    Standalone.start({ manifests, args, environment: { NODE_OPTIONS: `--import=${hook}`, MODULES_FILE: file } });

  const without = join(dir, 'without');
  const alone = await start(without);
  try {
    assert.match(readFileSync(without, 'utf8'), /\/proxy\/worker\.ts$/m);
    assert.ok(!isLoaded(without));
  } finally {
    await alone.stop();
  }
  assert.ok(!isLoaded(without));

  const within = join(dir, 'with');
  const sharing = await start(within, '--redis-url', 'redis://127.0.0.1:9');
  try {
    await eventually(async () => (isLoaded(within) ? true : undefined), 'the client of Redis to be loaded');
  } finally {
    await sharing.stop();
  }
});
