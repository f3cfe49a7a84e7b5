import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';

const launcher = resolve(import.meta.dirname, '../../sluice.js');

function migrate(input: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [launcher, 'migrate', ...args], { input, encoding: 'utf8' });
}

test('values come from stdin, and what is printed is a file of values', () => {
  const { status, stdout, stderr } = migrate('controller: { kind: DaemonSet, "a\\nb: c": on }\n', 'values', '-');
  assert.deepEqual([status, stderr], [0, '']);
  assert.match(stdout, /^# To do:\n# {3}controller\."a\\nb: c"\n/m);
  assert.deepEqual(parse(stdout), {
    controller: { adoptControllerClass: ['k8s.io/ingress-nginx'], publishService: { enabled: false } },
    proxy: { kind: 'DaemonSet' },
  });
});

const wrong: [about: string, input: string, args: string[], status: number, stderr: RegExp][] = [
  ['no YAML', 'a: [\nb', ['values', '-'], 1, /^error: -:\d+:\d+ is not a YAML document of values\n$/],
  ['two documents', 'a: 1\n---\nb: 1\n', ['values', '-'], 1, /^error: -\S* is not a YAML document of values\n$/],
  ['a list', '- a\n', ['values', '-'], 1, /^error: - holds no map of values\n$/],
  ['an alias of nothing', 'a: *b\n', ['values', '-'], 1, /^error: -\S* (is not a YAML|has an alias).*\n$/],
  ['an alias within what it names', 'a: &a { b: *a }\n', ['values', '-'], 1, /^error: - has an alias .*\n$/],
  ['no such file', '', ['values', '/does/not/exist'], 1, /^error: \/does\/not\/exist cannot be read: .+\n$/],
  ['no file', '', ['values'], 2, /missing required argument/],
  ['two files', '', ['values', 'a', 'b'], 2, /too many arguments/],
  ['something else', '', ['manifests', '-'], 2, /unknown command 'manifests'/],
];
for (const [about, input, args, status, stderr] of wrong) {
  test(`${about}: one clear line and exit code ${status}`, () => {
    const outcome = migrate(input, ...args);
    assert.match(outcome.stderr, stderr);
    assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr.trim().split('\n').length], [status, '', 1]);
  });
}
