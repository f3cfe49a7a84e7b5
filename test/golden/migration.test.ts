import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { migrationTable } from '../../controller/annotations/migration.ts';

const path = join(import.meta.dirname, '../../docs/migration.md');

test('the table of docs/migration.md is what the registry says (UPDATE=1 writes it)', () => {
  const text = readFileSync(path, 'utf8');
  const [before = '', rest = ''] = text.split(/(?<=<!-- annotations: [^\n]*-->\n)/);
  const [, after = ''] = rest.split(/(?=<!-- end of annotations -->)/);
  const written = `${before}\n${migrationTable()}\n\n${after}`;
  assert.ok(after.length > 0);
  if (process.env['UPDATE'] === '1') writeFileSync(path, written);
  assert.ok(readFileSync(path, 'utf8') === written, 'UPDATE=1 node test/run.ts golden/migration');
});

test('every verdict is there, and the ones that protect are refused', () => {
  const table = migrationTable();
  for (const verdict of ['same', 'different', 'ignored', 'refused']) assert.match(table, new RegExp(`\\| ${verdict} `));
  assert.match(table, /`auth-url` +\| refused/);
  assert.match(table, /`proxy-body-size` +\| same/);
});
