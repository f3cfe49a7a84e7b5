import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
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
  ['another class', toYaml(good.slice(-1)).replaceAll('ingressClassName: sluice', 'ingressClassName: other'), 0, /^$/],
  ['no YAML', 'a: [', 1, /^error {3}FileMalformed: File - 1:\d+: .+\n$/],
];
for (const [about, input, status, stdout] of rows) {
  test(`lint of ${about}`, () => {
    const outcome = lint(input, '--file', '-');
    assert.match(outcome.stdout, stdout);
    assert.equal(outcome.status, status, outcome.stderr);
  });
}

test('a file that is not there is one line', () => {
  const { status, stderr } = lint('', '--file', join('/', 'does', 'not', 'exist.yaml'));
  assert.deepEqual([status, /^error: \/does\/not\/exist\.yaml cannot be read: .+\n$/.test(stderr)], [1, true], stderr);
});
