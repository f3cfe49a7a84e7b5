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

const told: [about: string, given: object, path: string, value: unknown][] = [
  // As `helm get values --all` prints it: every key, in the order of the alphabet.
  ['hostNetwork', { hostNetwork: true, hostPort: { enabled: false } }, 'proxy.hostPort.enabled', true],
  ['neither', { hostNetwork: false, hostPort: { enabled: false } }, 'proxy.hostPort.enabled', false],
  ['no Service', { service: { enabled: false, external: { enabled: true } } }, 'proxy.service.enabled', false],
  ['none outside', { service: { enabled: true, external: { enabled: false } } }, 'proxy.service.enabled', false],
  [
    'a flag against a value',
    { extraArgs: { 'watch-ingress-without-class': 'true' }, watchIngressWithoutClass: false },
    'controller.watchIngressWithoutClass',
    true,
  ],
  [
    'a flag without a value',
    { extraArgs: { 'watch-ingress-without-class': '' } },
    'controller.watchIngressWithoutClass',
    true,
  ],
  [
    'the class of a flag',
    {
      extraArgs: { 'controller-class': 'own.example/nginx' },
      ingressClassResource: { controllerValue: 'k8s.io/ingress-nginx' },
    },
    'controller.adoptControllerClass.0',
    'own.example/nginx',
  ],
  [
    'a name that is made of a variable of the pod',
    { extraArgs: { 'default-ssl-certificate': '$(POD_NAMESPACE)/wildcard' } },
    'controller.defaultSslCertificate',
    undefined,
  ],
  [
    'a name that is none',
    { extraArgs: { 'default-ssl-certificate': '' } },
    'controller.defaultSslCertificate',
    undefined,
  ],
];
for (const [about, controller, path, value] of told) {
  test(`what ingress-nginx makes of two values, or of none: ${about}`, () => {
    const { values } = migrateValues({ controller });
    const found = path.split('.').reduce<unknown>((below, key) => Object(below)[key] as unknown, values);
    assert.equal(found, value);
  });
}

test('a flag that is on by being there, or off where it would be on, is for a person to see', () => {
  const extraArgs = { 'disable-catch-all': '', 'update-status': false, 'enable-ssl-passthrough': '' };
  const { notes } = migrateValues({ controller: { extraArgs } });
  const verdicts = new Map(notes.map(({ from, verdict, says }) => [from, `${verdict} ${says.slice(0, 9)}`]));
  assert.equal(verdicts.get('controller.extraArgs.disable-catch-all'), 'todo The flags');
  assert.equal(verdicts.get('controller.extraArgs.update-status'), 'todo The flags');
  assert.equal(verdicts.get('controller.extraArgs.enable-ssl-passthrough'), 'ignored ssl-passt');
});

test('a scope of one namespace, that of ingress-nginx, has to be named', () => {
  const todoOf = (scope: object) =>
    migrateValues({ controller: { scope } }).notes.filter(({ verdict }) => verdict === 'todo').length;
  assert.deepEqual(
    [todoOf({ enabled: true, namespace: '' }), todoOf({ enabled: true, namespace: 'a' }), todoOf({ enabled: false })],
    [1, 0, 0],
  );
});

test('a namespace that a variable or a template says there is another one here, and has to be written out', () => {
  const { values, notes } = migrateValues({
    controller: { scope: { enabled: true, namespace: '$(POD_NAMESPACE)' } },
    tcp: { 5432: 'data/pg:5432', 9000: '{{ .Release.Namespace }}/a:9000' },
    udp: { 53: '{{ .Values.dns }}:53' },
  });
  const { controller, tcp, udp } = Values.parse(values);
  assert.deepEqual([controller.scope.namespaces, tcp, udp], [[], { 5432: 'data/pg:5432' }, {}]);
  const todo = notes.filter(({ verdict }) => verdict === 'todo').map(({ from }) => from);
  assert.deepEqual(todo.sort(), ['controller.scope.namespace', 'tcp.9000', 'udp.53']);
});

test('in some namespaces alone no class is seen: the name of theirs is served', () => {
  const scope = { enabled: true, namespace: 'a' };
  const ingressClassResource = { name: 'team', enabled: true };
  const { values, notes } = migrateValues({ controller: { scope, ingressClassResource, ingressClass: 'team' } });
  const { name, enabled } = Values.parse(values).controller.ingressClassResource;
  assert.deepEqual([name, enabled], ['team', false]);
  assert.ok(notes.every(({ to }) => !to.includes('controller.adoptControllerClass')));
  assert.ok(notes.every(({ verdict }) => verdict !== 'todo'));
});

test('Ingresses that name no class but by the old annotation are told of where no class has its name', () => {
  const isTold = (controller: object) =>
    migrateValues({ controller }).notes.some(
      ({ from, verdict }) => from === 'controller.ingressClass' && verdict === 'todo',
    );
  const alike = [
    {},
    { ingressClassResource: { name: 'a' }, ingressClass: 'a' },
    { ingressClassResource: { name: 'a', aliases: ['nginx'] } },
  ];
  assert.deepEqual(alike.map(isTold), [false, false, false]);
  const others = [
    { ingressClassResource: { name: 'a' } },
    { ingressClassResource: { enabled: false } },
    { ingressClass: 'a' },
    { extraArgs: { 'ingress-class': 'a' } },
    { scope: { enabled: true, namespace: 'a' }, ingressClass: 'a' },
  ];
  assert.deepEqual(others.map(isTold), [true, true, true, true, true]);
});

test('a setting without a value, or with one that is none, takes no other with it', () => {
  const config = {
    'whitelist-source-range': '192.0.2.0/24',
    'enable-brotli': null,
    'gzip-types': ['a'],
    'keep-alive': 75,
  };
  const { values, notes } = migrateValues({ controller: { config } });
  assert.deepEqual(Values.parse(values).controller.config, {
    'whitelist-source-range': '192.0.2.0/24',
    'keep-alive': 75,
  });
  const todo = notes.filter(({ verdict }) => verdict === 'todo').map(({ from }) => from);
  assert.deepEqual(todo, ['controller.config.gzip-types']);
});

test('values of a chart that ingress-nginx is a part of are told as that', () => {
  const [note] = migrateValues({ 'ingress-nginx': { controller: { replicaCount: 2 } } }).notes.filter(
    ({ from }) => from,
  );
  assert.match(note?.says ?? '', /give what is below this key/);
});

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
