import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultTranslateOptions as options, type Translation } from '../../controller/translate/options.ts';
import { Translator } from '../../controller/translate/translator.ts';
import { rowSchemas } from '../../proxy/table/rows.ts';
import { readObjects, viewOf } from './translating.ts';

/** An Ingress with every field that is read. */
const full = {
  kind: 'Ingress',
  metadata: {
    name: 'full',
    namespace: 'demo',
    uid: 'u',
    creationTimestamp: '2026-01-01T00:00:00Z',
    annotations: { 'nginx.ingress.kubernetes.io/proxy-body-size': '8m' },
    labels: { app: 'full' },
  },
  spec: {
    ingressClassName: 'sluice',
    defaultBackend: {
      service: { name: 'web', port: { number: 80 } },
      resource: { apiGroup: 'x', kind: 'Bucket', name: 'b' },
    },
    tls: [{ hosts: ['full.example.com'], secretName: 's' }],
    rules: [
      {
        host: 'full.example.com',
        http: {
          paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'web', port: { name: 'http' } } } }],
        },
      },
    ],
  },
};

const neighbours = [
  {
    kind: 'Ingress',
    metadata: { name: 'calm', namespace: 'demo' },
    spec: {
      ingressClassName: 'sluice',
      rules: [
        {
          host: 'calm.example.com',
          http: {
            paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'calm', port: { number: 80 } } } }],
          },
        },
      ],
    },
  },
  { kind: 'Service', metadata: { name: 'calm', namespace: 'demo' }, spec: { ports: [{ name: 'http', port: 80 }] } },
  { kind: 'Service', metadata: { name: 'web', namespace: 'demo' }, spec: { ports: [{ name: 'http', port: 80 }] } },
];

const wrongValues: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  '',
  'x',
  '\u0000\n{service}',
  '/'.repeat(10_000),
  [],
  [null],
  [[]],
  ['x'],
  {},
  { x: 1 },
  { length: 3 },
  { ['__proto__']: 'x' },
];

for (const path of paths(full)) {
  const field = path.join('.');
  test(`a wrong value in ${field} is told and hurts nobody else`, () => {
    const calm = ofNeighbours(translate(neighbours).translation);
    assert.equal(calm.length, 4, 'host, route, backend and endpoints of the neighbour');
    for (const value of wrongValues) {
      const { translation, unreadable } = translate([...neighbours, withValue(full, path, value)]);
      assert.deepEqual(ofNeighbours(translation), calm, JSON.stringify(value));
      for (const { kind, row } of translation.upserts) rowSchemas[kind].parse(row);
      for (const { source, message } of translation.problems) {
        assert.notEqual(source.name, 'calm');
        assert.doesNotMatch(message, /[\u0000-\u001f]/);
        assert(message.length < 1000, message);
      }
      if (unreadable === 0) continue;
      // kind and metadata.name may be what is wrong; then the source cannot hold them.
      const told = translation.problems.find(({ code }) => code === 'ObjectMalformed');
      assert.match(told?.source.field ?? '', new RegExp(`^${path[0]}`), 'the problem names the field');
      if (path[1] !== 'name' && path.length > 1) assert.equal(told?.source.name, 'full');
    }
  });
}

test('a wrong type of each kind is a problem, not a default', () => {
  const told = [
    withValue(full, ['spec', 'rules'], 'x'),
    withValue(full, ['spec', 'rules', '0', 'http', 'paths', '0', 'backend'], []),
    withValue(full, ['spec', 'ingressClassName'], 7),
    withValue(full, ['metadata', 'annotations'], { x: 1 }),
  ].map((manifest) => translate([manifest]).translation.problems.map(({ code }) => code));
  assert.deepEqual(told, [['ObjectMalformed'], ['ObjectMalformed'], ['ObjectMalformed'], ['ObjectMalformed']]);
});

function translate(manifests: readonly unknown[]): { translation: Translation; unreadable: number } {
  const { objects, unreadable } = readObjects(manifests);
  const translation = new Translator(options).apply(viewOf(objects), [], unreadable, 0);
  return { translation, unreadable: unreadable.length };
}

/** Rows of the neighbour, which no other object may change. */
function ofNeighbours({ upserts }: Translation): unknown[] {
  return upserts.filter(({ row }) => JSON.stringify(row).includes('calm'));
}

/** Every field, inner ones and whole branches. `kind` picks the schema, so it cannot be wrong here. */
function paths(value: unknown, at: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value)
    .filter(([key]) => key !== 'kind' || at.length > 0)
    .flatMap(([key, inner]) => [[...at, key], ...paths(inner, [...at, key])]);
}

function withValue(base: unknown, [head, ...rest]: readonly string[], value: unknown): unknown {
  if (head === undefined) return value;
  const copy = structuredClone(base) as Record<string, unknown>;
  copy[head] = withValue(copy[head], rest, value);
  return copy;
}
