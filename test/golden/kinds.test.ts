import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { AddressPoolSpec } from '../../controller/addresses/addresspool.ts';
import { definitionOf, openApi, type Schema } from '../../controller/addresses/crd.ts';
import { kindsDocument } from '../../controller/addresses/document.ts';
import { type OwnKindName, ownKinds } from '../../controller/addresses/kinds.ts';
import { selects } from '../../controller/addresses/selector.ts';

const root = join(import.meta.dirname, '../..');
const kinds = Object.keys(ownKinds) as OwnKindName[];

test('docs/kinds.md and the definitions of the chart are what the schemas say (UPDATE=1 writes them)', () => {
  const head = '# Generated from the schemas in controller/addresses; do not edit.\n';
  const definitions = kinds.map((kind) => `---\n${stringify(definitionOf(kind), { lineWidth: 0 })}`).join('');
  for (const [path, text] of [
    ['docs/kinds.md', kindsDocument()],
    ['charts/sluice/files/crds.yaml', head + definitions],
  ] as const) {
    if (process.env['UPDATE'] === '1') {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    assert.equal(readFileSync(join(root, path), 'utf8'), text, path);
  }
});

test('every field of every kind says what it is for', () => {
  const mute = kinds.flatMap((kind) => fieldsWithout('description', openApi(ownKinds[kind].spec), kind));
  assert.deepEqual(mute, []);
});

test('what the API server fills in is what a file leaves out', () => {
  const { addresses: _, ...defaults } = AddressPoolSpec.parse({ addresses: ['192.0.2.1'] });
  const { properties = {} } = openApi(AddressPoolSpec);
  for (const [name, { default: usual = [] }] of Object.entries(properties)) {
    if (Object.hasOwn(defaults, name)) assert.deepEqual(defaults[name as keyof typeof defaults], usual, name);
  }
  assert.deepEqual(Object.keys(defaults), ['autoAssign', 'avoidBuggyIPs', 'namespaces']);
});

test('a selector selects as in Kubernetes', () => {
  const labels = { app: 'web', tier: 'gold' };
  const of = (key: string, operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist', ...values: string[]) =>
    selects({ matchLabels: {}, matchExpressions: [{ key, operator, values }] }, labels);
  assert.equal(selects({ matchLabels: {}, matchExpressions: [] }, {}), true);
  assert.equal(selects({ matchLabels: { app: 'web' }, matchExpressions: [] }, labels), true);
  assert.equal(selects({ matchLabels: { app: 'web', tier: 'tin' }, matchExpressions: [] }, labels), false);
  assert.equal(selects({ matchLabels: { toString: 'x' }, matchExpressions: [] }, labels), false);
  assert.deepEqual([of('app', 'In', 'web', 'api'), of('app', 'In', 'api'), of('none', 'In', '')], [true, false, false]);
  assert.deepEqual([of('app', 'NotIn', 'web'), of('none', 'NotIn', 'web')], [false, true]);
  assert.deepEqual([of('app', 'Exists'), of('none', 'Exists')], [true, false]);
  assert.deepEqual([of('app', 'DoesNotExist'), of('none', 'DoesNotExist')], [false, true]);
});

function fieldsWithout(keyword: string, schema: Schema, path: string): string[] {
  const inner = schema.items ?? schema;
  return Object.entries(inner.properties ?? {}).flatMap(([name, field]) => {
    const at = `${path}.${name}`;
    return [...(field[keyword] === undefined ? [at] : []), ...fieldsWithout(keyword, field, at)];
  });
}
