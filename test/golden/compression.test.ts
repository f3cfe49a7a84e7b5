import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseEncoding, compileCompression, type Encoding } from '../../proxy/filters/compression.ts';

const three: readonly Encoding[] = [
  { name: 'zstd', level: 3, types: ['text/*', 'application/json'], minBytes: 0 },
  { name: 'br', level: 4, types: ['*'], minBytes: 100 },
  { name: 'gzip', level: 4, types: ['text/html'], minBytes: 0 },
];

for (const [accepted, expected] of [
  ['', null],
  ['gzip', 'gzip'],
  ['GZIP', 'gzip'],
  ['x-gzip', 'gzip'],
  ['gzip, deflate, br', 'br'],
  ['gzip, deflate, br, zstd', 'zstd'],
  ['gzip;q=1.0, br;q=0.5', 'gzip'],
  ['*', 'zstd'],
  ['*;q=0.1, zstd;q=0', 'br'],
  ['zstd;q=0, br;q=0, *', 'gzip'],
  ['gzip;q=0', null],
  ['identity', null],
  ['identity;q=1, gzip;q=0.5', null],
  ['identity;q=0.5, gzip;q=1', 'gzip'],
  ['identity;q=0', null],
  ['gzip;q=2', null],
  ['gzip;q=1.0001', null],
  ['gzip;q=', null],
  ['deflate', null],
  [`${'a,'.repeat(16)}gzip`, null],
] as const) {
  test(`Accept-Encoding: ${accepted.slice(0, 40)} → ${expected ?? 'as it is'}`, () => {
    assert.equal(chooseEncoding(three, accepted)?.name ?? null, expected);
  });
}

test('types are compared without parameters and case, families by their star', () => {
  const compiled = compileCompression([...three]);
  const namesFor = (type: string, length: number) => compiled.for(type, length).map(({ name }) => name);
  assert.deepEqual(namesFor('text/html', -1), ['zstd', 'br', 'gzip']);
  assert.deepEqual(namesFor('Text/Plain; charset=utf-8', 100), ['zstd', 'br']);
  assert.deepEqual(namesFor(' APPLICATION/JSON ', 99), ['zstd']);
  for (const type of ['textual/html', 'application/json-seq', 'image/png'])
    assert.deepEqual(namesFor(type, -1), ['br']);
  assert.deepEqual(namesFor('', -1), []);
  assert.deepEqual(compileCompression([]).for('text/html', -1), []);
});
