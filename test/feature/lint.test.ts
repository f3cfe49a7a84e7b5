import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, test } from 'node:test';
import { ingress, service, toYaml } from '../kit/manifests.ts';

const launcher = resolve(import.meta.dirname, '../../sluice.js');

function lint(input: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [launcher, 'lint', ...args], { input, encoding: 'utf8' });
}

const good = [...service('web', [8080]), ingress({ name: 'web', host: 'web.example', paths: { '/': 'web' } })];
const rows: [about: string, input: string, status: number, stdout: RegExp][] = [
  ['nothing to say', toYaml(good), 0, /^$/],
  [
    'a warning',
    toYaml([...good, ingress({ name: 'odd', host: 'odd.example', paths: { '/': 'web' }, annotations: { typo: '1' } })]),
    0,
    /^warning AnnotationUnknown: Ingress default\/odd metadata\.annotations\S*: .+\n$/,
  ],
  ['an error', toYaml(good.slice(-1)), 1, /^error {3}ServiceNotFound: Ingress default\/web \S+: .+\n$/],
  [
    'another class',
    toYaml(good.slice(-1)).replaceAll('ingressClassName: sluice', 'ingressClassName: other'),
    0,
    /^warning ClassNotServed: Ingress default\/web: Its class other is not served\. .+\n$/,
  ],
  [
    'no class',
    toYaml(good.slice(-1)).replaceAll('ingressClassName: sluice', 'defaultBackend: null'),
    0,
    /^warning ClassNotServed: Ingress default\/web: It names no class, and is not served\. .+\n$/,
  ],
  [
    'a field that one of our kinds does not have',
    'apiVersion: sluice.dev/v1\nkind: AddressPool\nmetadata: {name: main}\nspec: {addresses: [192.0.2.0/24], autoasign: false}\n',
    0,
    /^warning FieldUnknown: AddressPool main spec\.autoasign: -: the kind AddressPool has no field spec\.autoasign\. .+\n$/,
  ],
  [
    'what a chart has beside',
    toYaml([
      ...good,
      ...['apps/v1 Deployment', 'v1 ServiceAccount', 'serving.knative.dev/v1 Service'].map((what, i) => {
        const [apiVersion = '', kind = ''] = what.split(' ');
        return { apiVersion, kind, metadata: { name: `beside-${i}`, namespace: 'default' } };
      }),
    ]),
    0,
    /^$/,
  ],
  [
    'a kind that is misspelt',
    toYaml(good).replace('kind: Ingress\n', 'kind: Ingres\n'),
    0,
    /^warning KindUnknown: Ingres default\/web kind: -: objects of kind Ingres and apiVersion networking.k8s.io\/v1 are not read\. .+\n$/,
  ],
  [
    'an Ingress of before',
    toYaml(good).replace('apiVersion: networking.k8s.io/v1\n', 'apiVersion: extensions/v1beta1\n'),
    1,
    /^error {3}ObjectMalformed: Ingress default\/web apiVersion: -: apiVersion: must be networking\.k8s\.io\/v1, not extensions\/v1beta1\. .+\n$/,
  ],
  [
    'a kind and a name with line ends and commands for a terminal',
    '{ kind: "Odd\\nwarning x", apiVersion: v1, metadata: { name: "a\\e[2J\\r\\nerror   Forged: b" } }',
    0,
    /^warning KindUnknown: Odd warning x a \[2J error {3}Forged: b kind: [^\p{Cc}]+\n$/u,
  ],
  ['no YAML', 'a: [', 1, /^error {3}FileMalformed: File - 1:\d+: .+\n$/],
];
for (const [about, input, status, stdout] of rows) {
  test(`lint of ${about}`, () => {
    const outcome = lint(input, '--file', '-');
    assert.match(outcome.stdout, stdout);
    assert.equal(outcome.status, status, outcome.stderr);
  });
}

test('lint of a folder: all manifests below it, as standalone serves them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-lint-'));
  after(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'below'));
  writeFileSync(join(folder, 'service.yaml'), toYaml(good.slice(0, -1)));
  writeFileSync(join(folder, 'below', 'ingress.yml'), toYaml(good.slice(-1)));
  writeFileSync(join(folder, 'notes.txt'), 'a: [');
  const { status, stdout, stderr } = lint('', '--file', folder);
  assert.deepEqual([status, stdout], [0, ''], stderr);
  assert.equal(lint('', '--file', join(folder, 'below')).status, 1, 'without its Service');
  writeFileSync(join(folder, 'below', 'later.yml'), toYaml(good.slice(-1)).replaceAll('web.example', 'a b'));
  const twice = lint('', '--file', folder).stdout;
  assert.match(
    twice,
    /^error {3}ObjectDuplicate: Ingress default\/web: the Ingress default\/web is there twice; .+\n$/,
  );
});

test('a file that is not there is one line', () => {
  const { status, stderr } = lint('', '--file', join('/', 'does', 'not', 'exist.yaml'));
  assert.deepEqual([status, /^error: \/does\/not\/exist\.yaml cannot be read: .+\n$/.test(stderr)], [1, true], stderr);
});
