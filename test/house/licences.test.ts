import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { markdownTable } from '../../controller/annotations/markdown.ts';
import { root } from './sources.ts';

interface Locked {
  version?: string;
  license?: string;
  dev?: boolean;
}

/** Those that ask for no more than their text and the names of the authors beside a copy (SPDX identifiers). */
const permitted = new Set([
  ...['0BSD', 'Apache-2.0', 'BlueOak-1.0.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'PSF-2.0', 'Unlicense'],
]);

const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, Locked>;
};
const shipped = Object.entries(packages)
  .filter(([path, { dev }]) => path !== '' && dev !== true)
  .map(([path, { version = '', license = '' }]) => ({
    name: path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version,
    licence: license,
  }));

test('every package that is shipped has a licence that lets us', () => {
  assert.ok(shipped.length > 50);
  assert.deepEqual(
    shipped.filter(({ licence }) => !permitted.has(licence)),
    [],
  );
});

test('docs/licences.md is the list of them (UPDATE=1 writes it)', () => {
  const rows = shipped.map(({ name, version, licence }) => [name, version, licence]);
  const unique = [...new Map(rows.map((row) => [row.join(' '), row])).values()];
  const text = [
    '# Licences',
    '',
    'Generated from the lock file; do not edit. Sluice itself is under Apache-2.0; these packages are shipped with it.',
    '`npm run sbom` prints them with hashes, as CycloneDX, beside those of development, which it marks.',
    '',
    ...markdownTable([['Package', 'Version', 'Licence'], ...unique]),
    '',
  ].join('\n');
  const path = join(root, 'docs/licences.md');
  if (process.env['UPDATE'] === '1') writeFileSync(path, text);
  assert.ok(
    readFileSync(path, 'utf8') === text,
    'the lock file has changed: UPDATE=1 node --test test/house/licences.test.ts',
  );
});
