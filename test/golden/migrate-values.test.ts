import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { Values } from '../../charts/values/values.ts';
import { migrateValues } from '../../controller/explain/migrate.ts';
import { migratedFile } from '../../controller/explain/migration.ts';
import { rules } from '../../controller/explain/rules.ts';
import { renderChart, skipWithoutHelm } from '../kit/helm.ts';

/** NAME.yaml: values of ingress-nginx; NAME.expect.yaml: what is printed. `UPDATE=1` rewrites that. */
const folder = join(import.meta.dirname, 'values');
const helm = { skip: skipWithoutHelm() };
const names = readdirSync(folder).filter((name) => !name.endsWith('.expect.yaml'));

for (const name of names) {
  const expected = join(folder, name.replace(/\.yaml$/, '.expect.yaml'));

  test(`values of ingress-nginx: ${name}`, async () => {
    const text = await migratedFile(join(folder, name));
    if (process.env['UPDATE'] === '1') writeFileSync(expected, text);
    assert.equal(text, existsSync(expected) ? readFileSync(expected, 'utf8') : '', expected);
    assert.deepEqual(Values.safeParse(parse(text, { version: '1.1' })).error, undefined);
  });

  test(`the chart takes what comes of ${name}`, helm, async () => {
    assert.equal(renderChart(parse(await migratedFile(join(folder, name)), { version: '1.1' })).failure, '');
  });
}

test('every rule that moves leads to a key of ours', () => {
  const wrong = [...rules].filter(([from, rule]) => {
    if (rule.does !== 'move') return false;
    const { values, notes } = migrateValues(treeOf(from, {}));
    return Values.safeParse(values).error !== undefined || notes.some(({ says }) => says.startsWith('There is no'));
  });
  assert.deepEqual(wrong, []);
});

test('whatever the values are, our schema takes what comes of them, and nothing is passed over', () => {
  const anywhere = fc.tuple(fc.constantFrom(...rules.keys(), 'controller', 'nobody', '__proto__.x'), fc.jsonValue());
  fc.assert(
    fc.property(anywhere, ([path, value]) => {
      const { values, notes } = migrateValues(treeOf(path, value));
      assert.deepEqual(Values.safeParse(values).error, undefined);
      const isEmptyGroup = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
      assert.ok(isEmptyGroup || notes.some(({ from }) => from !== ''), path);
    }),
    { numRuns: 1_000 },
  );
});

function treeOf(path: string, value: unknown): Record<string, unknown> {
  const text = path.split('.').reduceRight((below, key) => `{${JSON.stringify(key)}:${below}}`, JSON.stringify(value));
  return JSON.parse(text) as Record<string, unknown>;
}
