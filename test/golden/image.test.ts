import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join, matchesGlob } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { root, sourceFiles } from '../house/sources.ts';

/** What holds of the image and needs no builder to be seen. */
const stages = stagesOf(readFileSync(join(root, 'Dockerfile'), 'utf8'));
const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n');
const { dependencies } = z
  .object({ dependencies: z.record(z.string(), z.string()) })
  .parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));

test('the image of controllers and proxies is the default, runs as nobody in particular, and starts no shell', () => {
  const [last] = [...stages.keys()].slice(-1);
  assert.equal(last, 'sluice');
  const sluice = lineage('sluice');
  assert.equal(
    sluice.findLast((line) => line.startsWith('USER ')),
    'USER 65532:65532',
  );
  assert.equal(
    sluice.findLast((line) => line.startsWith('ENTRYPOINT ')),
    'ENTRYPOINT ["node", "/app/sluice.ts"]',
  );
  assert.deepEqual(
    ['sluice', 'edge'].map((name) => lineage(name).some((line) => line.startsWith('HEALTHCHECK '))),
    [true, true],
  );
  assert.match(sluice.join('\n'), /^FROM scratch$/m, 'what was removed from the base must be in no layer');
});

test('the image of edges has the programs that an edge starts', () => {
  const installed = lineage('edge').find((line) => line.includes('apt-get install')) ?? '';
  for (const name of ['bird2', 'nftables', 'iproute2', 'iputils-arping', 'libndp-tools']) {
    assert.ok(installed.split(/\s+/).includes(name), name);
  }
});

test('only what production needs is installed, exactly as the lock file says', () => {
  const install = [...stages.values()].flat().filter((line) => /\bnpm\b.* (ci|install)\b/.test(line));
  assert.equal(install.length, 1);
  assert.match(install[0] ?? '', /npm ci --omit=dev /);
});

test('everything that the programs import is in the image, from packages that production has', () => {
  const files = new Map(sourceFiles(['controller', 'proxy', 'examples', 'charts']).map((file) => [file.path, file]));
  const needed = new Set(['sluice.ts', 'warm.ts', 'proxy/worker.ts']);
  const packages = new Set<string>();
  for (const path of needed) {
    for (const target of files.get(path)?.imports ?? assert.fail(path)) {
      if (target.startsWith('node:')) continue;
      if (target.endsWith('.ts')) needed.add(target);
      else
        packages.add(
          target
            .split('/')
            .slice(0, target.startsWith('@') ? 2 : 1)
            .join('/'),
        );
    }
  }
  assert.ok(needed.size > 200, 'the walk sees imports');
  assert.deepEqual(
    [...needed, 'package.json', 'package-lock.json'].filter((path) => !isInContext(path)),
    [],
  );
  assert.deepEqual(
    [...packages].filter((name) => !Object.hasOwn(dependencies, name)),
    [],
  );
});

test('nothing else is in the image', () => {
  for (const path of [
    'test/run.ts',
    'node_modules',
    '.git/config',
    'charts/sluice/Chart.yaml',
    'README.md',
    'load/k6.ts',
  ]) {
    assert.equal(isInContext(path), false, path);
  }
});

/** Lines of each stage, continued ones joined, without comments. */
function stagesOf(text: string): Map<string, string[]> {
  const lines = text
    .replace(/\\\n/g, ' ')
    .split('\n')
    .map((line) => line.replace(/\s+/g, ' ').trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const found = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of lines) {
    const name = /^FROM \S+ AS (\S+)$/.exec(line)?.[1];
    if (name !== undefined) {
      current = [];
      found.set(name, current);
    }
    current.push(line.replace(/ AS \S+$/, ''));
  }
  return found;
}

/** Lines of a stage and of those that it is made from, in order. */
function lineage(name: string): string[] {
  const lines = stages.get(name);
  if (lines === undefined) return [];
  const base = /^FROM (\S+)$/.exec(lines[0] ?? '')?.[1] ?? '';
  return [...lineage(base), ...lines];
}

/** As the builder decides: the last line that speaks of the path, or of a folder above it, wins. */
function isInContext(path: string): boolean {
  let isIn = existsSync(join(root, path));
  for (const line of ignore) {
    if (line === '' || line.startsWith('#')) continue;
    const pattern = line.replace(/^!/, '');
    const folders = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/'));
    // Docker's * takes hidden files, too.
    if (folders.some((part) => pattern === '*' || matchesGlob(part, pattern))) isIn = line.startsWith('!');
  }
  return isIn;
}
