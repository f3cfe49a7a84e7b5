import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from './sources.ts';

interface Locked {
  resolved?: string;
  optionalDependencies?: Record<string, string>;
}

const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, Locked> };

test('the lock file names no registry', () => {
  const found = Object.entries(lock.packages).filter(([, each]) => each.resolved !== undefined);
  assert.deepEqual(
    found.map(([path]) => path),
    [],
  );
});

/** `npm ci` takes a lock file without them as out of date. They get lost where a registry has only this machine's platform. */
test('the lock file holds the optional packages of every platform', () => {
  const missing = Object.entries(lock.packages).flatMap(([path, each]) =>
    Object.keys(each.optionalDependencies ?? {}).filter(
      (name) => !lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`],
    ),
  );
  assert.deepEqual(missing, []);
});
