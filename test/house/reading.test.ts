import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root, sourceFiles } from './sources.ts';

const product = sourceFiles(['controller', 'proxy']);
const all = [...product, ...sourceFiles(['test', 'load']).filter((file) => file.path.includes('/'))];

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/.*$/gm, '$1');
const lines = (text: string) => text.split('\n').length - 1;

test('no file is longer than 400 lines', () => {
  assert.deepEqual(
    all.filter((file) => lines(file.text) > 400).map((file) => `${file.path}: ${lines(file.text)}`),
    [],
  );
});

test('no name says nothing', () => {
  const empty = /(^|\/)(utils?|helpers?|common|managers?|handlers?|misc)(\.ts|\/)/;
  assert.deepEqual(
    all.map((file) => file.path).filter((path) => empty.test(path)),
    [],
  );
});

test('no any, no default export, no unfinished mark', () => {
  const found = all
    .filter((file) => !file.path.startsWith('test/house/'))
    .flatMap((file) =>
      [/[:<]\s*any\b|\bas any\b/, /^export default/m, /\b(TODO|FIXME|XXX)\b|not implemented/]
        .filter((pattern) => pattern.test(pattern.source.includes('TODO') ? file.text : withoutComments(file.text)))
        .map((pattern) => `${file.path}: ${pattern.source}`),
    )
    .filter((found) => !found.startsWith('load/scenarios/'));
  assert.deepEqual(found, []);
});

test('what is written here speaks of the project alone', () => {
  // Source notes, paths of one machine and who was to do what mean nothing to a reader of the repository.
  const outside =
    /\b(reliability|performance|ecosystem|aesthetics|ingress-nginx|edge-lb)\.md\b|\/work\/|\bissue #?\d|\bDESIGN\b/;
  assert.deepEqual(
    all.filter((file) => !file.path.startsWith('test/house/') && outside.test(file.text)).map((file) => file.path),
    [],
  );
});

test('folders are two levels deep and each second-level folder has a README', () => {
  const missing: string[] = [];
  for (const top of ['controller', 'proxy']) {
    for (const entry of readdirSync(join(root, top), { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      if (!existsSync(join(root, top, entry.name, 'README.md'))) missing.push(`${top}/${entry.name}/README.md`);
      for (const inner of readdirSync(join(root, top, entry.name), { withFileTypes: true })) {
        if (inner.isDirectory()) missing.push(`${top}/${entry.name}/${inner.name} is a third level`);
      }
    }
  }
  assert.deepEqual(missing, []);
});
