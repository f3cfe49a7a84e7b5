import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { annotationsDocument } from '../../controller/annotations/document.ts';
import { obsoleteNames } from '../../controller/annotations/obsolete.ts';
import { readAnnotations } from '../../controller/annotations/parse.ts';
import { ownNames, registry } from '../../controller/annotations/registry.ts';
import { unhonoured } from '../../controller/annotations/unhonoured.ts';

const docs = join(import.meta.dirname, '../../docs');
const prefix = 'nginx.ingress.kubernetes.io/';
const source = { kind: 'Ingress', namespace: 'demo', name: 'web' };
const read = (name: string, value: string) => readAnnotations(source, { [prefix + name]: value });

test('docs/annotations.md is what the registry says (UPDATE=1 writes it)', () => {
  const text = annotationsDocument();
  if (process.env['UPDATE'] === '1') {
    mkdirSync(docs, { recursive: true });
    writeFileSync(join(docs, 'annotations.md'), text);
  }
  assert.equal(readFileSync(join(docs, 'annotations.md'), 'utf8'), text);
});

test('every name of ingress-nginx is known once', () => {
  const names = [...Object.keys(registry).filter((name) => !ownNames.includes(name)), ...unhonoured.keys()];
  assert.equal(names.length, 138);
  assert.equal(new Set([...names, ...obsoleteNames]).size, names.length + obsoleteNames.length);
});

test('booleans are those of Go, not of YAML', () => {
  for (const text of ['1', 't', 'T', 'TRUE', 'true', 'True'])
    assert.equal(read('use-regex', text).settings['use-regex'], true);
  for (const text of ['0', 'f', 'F', 'FALSE', 'false', 'False']) {
    assert.equal(read('use-regex', text).settings['use-regex'], false);
  }
  for (const text of ['yes', 'no', 'on', 'off', 'TrUe', ' true', '']) {
    const { settings, problems } = read('use-regex', text);
    assert.equal(settings['use-regex'], undefined);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['AnnotationInvalid'],
    );
  }
});

test('no value of any known annotation throws, passes a line break or goes unheard', () => {
  const values = ['', ' ', 'x', 'true', '\r\nX: y', '/a\nb', '$', '${', '-1', '1e9', '/'.repeat(100_000), '\u0000'];
  for (const name of Object.keys(registry)) {
    for (const value of values) {
      const { settings, problems } = read(name, value);
      const refusals = problems.filter(({ code }) => code !== 'AnnotationWithoutEffect');
      assert.equal(Object.keys(settings).length + refusals.length, 1, `${name}: ${JSON.stringify(value)}`);
      assert.doesNotMatch(Object.values(settings).map(String).join(), /[\r\n\u0000]/);
    }
  }
});

test('what protects is never served without: it closes the paths', () => {
  const protecting = [...unhonoured.keys()].filter((name) => /^auth-|snippet$|^satisfy$/.test(name));
  assert.equal(protecting.length, 24);
  for (const name of protecting) assert.equal(read(name, '10.0.0.0/8').deniedBy, prefix + name);
  for (const name of ['allowlist', 'whitelist', 'denylist'].map((list) => `${list}-source-range`)) {
    for (const bad of ['x', '10.0.0.0/33', '10.1', '10.0.0.1,', '10.0.0.1 10.0.0.2', ' ']) {
      assert.equal(read(name, bad).deniedBy, prefix + name, bad);
    }
    assert.equal(read(name, '').deniedBy, name.startsWith('white') ? null : prefix + name);
    assert.equal(read(name, ' 10.0.0.1/8 , 2001:DB8::0:1').deniedBy, null);
  }
  assert.equal(read('enable-modsecurity', 'yes').deniedBy, `${prefix}enable-modsecurity`);
});

test('who asks for what holds anyway is told nothing, and closes nothing', () => {
  for (const [name, value] of [
    ['configuration-snippet', ''],
    ['server-snippet', ' \n'],
    ['satisfy', 'all'],
    ['satisfy', ''],
    ['enable-modsecurity', ''],
    ['custom-http-errors', ''],
    ['permanent-redirect', ''],
    ['proxy-http-version', '1.1'],
    ['connection-proxy-header', 'keep-alive'],
    ['disable-proxy-intercept-errors', 'false'],
    ['enable-access-log', 'true'],
    ['enable-global-auth', 'true'],
    ['enable-global-auth', 'false'],
    ['mirror-request-body', 'on'],
    ['proxy-redirect-to', 'off'],
    ['limit-rps', '0'],
  ] as const) {
    const { problems, deniedBy, hostDeniedBy } = read(name, value);
    assert.deepEqual({ problems, deniedBy, hostDeniedBy }, { problems: [], deniedBy: null, hostDeniedBy: null }, name);
  }
  for (const [name, value] of [
    ['configuration-snippet', 'deny all;'],
    ['satisfy', 'any'],
    ['proxy-http-version', '1.0'],
    ['limit-rps', '1'],
    ['enable-access-log', 'false'],
    ['custom-http-errors', '503'],
  ] as const) {
    assert.equal(read(name, value).problems.length, 1, name);
  }
});

test('words are trimmed as in ingress-nginx, so that a block of YAML may hold them', () => {
  assert.equal(read('proxy-ssl-verify', 'off\n').settings['proxy-ssl-verify'], false);
  assert.equal(read('proxy-ssl-verify', ' on').settings['proxy-ssl-verify'], true);
  assert.deepEqual(
    read('proxy-next-upstream', 'error\ttimeout\n').settings['proxy-next-upstream'],
    read('proxy-next-upstream', 'error timeout').settings['proxy-next-upstream'],
  );
});

test('a list of encodings has each of them once, or is off', () => {
  const namesOf = (value: string) => read('compression', value).settings.compression?.map(({ name }) => name);
  assert.deepEqual(namesOf(' GZIP , br'), ['gzip', 'br']);
  assert.deepEqual(namesOf('off'), []);
  for (const bad of ['gzip, gzip', 'gzip,', 'deflate', 'off, gzip', '']) assert.equal(namesOf(bad), undefined, bad);
});

test('only a boolean makes a canary of an Ingress, and who writes another word is told what comes of it', () => {
  assert.equal(read('canary', 'T').isCanary, true);
  for (const word of ['yes', 'on', ' true']) {
    const { isCanary, problems } = read('canary', word);
    assert.equal(isCanary, false);
    assert.match(problems[0]?.message ?? '', /is not a boolean .* served as an Ingress of its own/);
  }
});

test('an Ingress that keeps somebody out is closed where another would be dropped', () => {
  const bad = { [`${prefix}load-balance`]: 'least_conn', [`${prefix}upstream-hash-by`]: ';' };
  const plain = readAnnotations(source, bad);
  assert.equal(plain.isDropped, true);
  assert.equal(plain.deniedBy, null);
  for (const [name, value] of [
    ['whitelist-source-range', '10.0.0.0/8'],
    ['denylist-source-range', '10.0.0.0/8'],
    ['allowlist-source-range', 'x'],
    ['auth-type', 'basic'],
    ['auth-tls-secret', 'demo/ca'],
  ] as const) {
    const closed = readAnnotations(source, { ...bad, [prefix + name]: value });
    assert.equal(closed.isDropped, false, name);
    assert.ok(closed.deniedBy !== null && closed.exemptDeniedBy !== null, name);
    assert.equal(closed.hostDeniedBy !== null, name === 'auth-tls-secret', name);
    const codes = closed.problems.map(({ code }) => code);
    assert.equal(codes.filter((code) => code === 'AnnotationDropsIngress').length, 0);
    assert.ok(codes.filter((code) => code === 'AnnotationClosesPaths').length >= 2, name);
  }
});

test('a rewrite-target has groups and no other variable of nginx', () => {
  for (const good of ['/', '/$1', '/$9/x$1', '/x/$10', '$1', 'https://a.example/$1']) {
    assert.equal(read('rewrite-target', good).settings['rewrite-target'], good);
  }
  for (const bad of ['/$0', '/$uri', '/$namespace/$1', '/$', '/$$1', '/x$/$2']) {
    const { settings, problems } = read('rewrite-target', bad);
    assert.equal(settings['rewrite-target'], undefined, bad);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['AnnotationInvalid'],
    );
  }
});

test('a name that objects inherit is no annotation', () => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    assert.deepEqual(
      read(name, 'x').problems.map(({ code }) => code),
      ['AnnotationUnknown'],
    );
  }
});
