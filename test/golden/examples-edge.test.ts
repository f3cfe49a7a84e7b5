import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Planner } from '../../controller/plan/planner.ts';
import { readManifests } from '../../controller/watch/manifests.ts';
import { viewOf } from './translating.ts';

test('examples/edge is planned without a problem, and gives its Service an address', () => {
  const name = 'rack.yaml';
  const text = readFileSync(join(import.meta.dirname, '../../examples/edge', name), 'utf8');
  const { objects, problems, syntax } = readManifests(text, name);
  assert.deepEqual([problems, syntax], [[], null]);
  const options = { loadBalancerClass: 'sluice.dev/edge', servesClassless: true, secretNamespace: 'default' };
  const planner = new Planner(options);
  const update = planner.apply(viewOf(objects), []);
  assert.deepEqual(update.problems, []);
  const intent = planner.allocator.intents().get('default/postgres');
  assert.deepEqual(
    intent?.allocations.map(({ address }) => address),
    ['198.51.100.1'],
  );
  const kinds = new Set(update.upserts.map(({ kind }) => kind));
  assert.deepEqual([...kinds].sort(), ['announcement', 'endpoints', 'peer', 'service']);
});
