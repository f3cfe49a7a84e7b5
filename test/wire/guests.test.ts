import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Authority } from '../kit/authority.ts';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, type Manifest, opaqueSecret, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
/** Speaks TLS itself. */
let vault: Recorder;
let sluice: Standalone;
/** Longer than any expression may be. */
const long = `/${'long'.repeat(150)}`;

/** A host of namespace `default`, older by its name, on which namespace `guest` says something, too. */
function shared(
  name: string,
  theirs: Record<string, string>,
  ours: Record<string, string> = {},
  tlsSecret?: string,
): Manifest[] {
  const host = `${name}.test`;
  return [
    ingress({ name, host, paths: { '/': 'recorder' }, annotations: ours }),
    ingress({
      name,
      namespace: 'guest',
      host,
      paths: { '/guest': 'recorder' },
      annotations: theirs,
      ...(tlsSecret === undefined ? {} : { tlsSecret }),
    }),
  ];
}

before(async () => {
  const root = await Authority.root();
  const passthrough = { 'ssl-passthrough': 'true' };
  const copy = { 'ca.crt': root.cert };
  recorder = await Recorder.start();
  vault = await Recorder.start({ tls: await certificateFor(['passed.test']) });
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ...service('recorder', [recorder.port]),
      ...service('recorder', [recorder.port], 'guest'),
      ...service('vault', [vault.port]),
      ...service('vault', [vault.port], 'guest'),
      opaqueSecret('root', copy),
      opaqueSecret('root', copy, 'guest'),
      tlsSecret('server', await root.issue({ names: ['tls.test'] }), 'guest'),
      ...shared('snippet', { 'server-snippet': 'deny all;' }),
      ...shared('missing', { 'auth-tls-secret': 'guest/gone' }),
      ...shared('invalid', { 'auth-tls-secret': 'a/b/c' }),
      ...shared('alone', { 'auth-tls-match-cn': 'CN=alice' }),
      ...shared('wants', { 'auth-tls-secret': 'guest/root' }),
      ...shared('root', { 'app-root': '/guest' }),
      ...shared('tls', {}, {}, 'server'),
      ...shared('suites', { 'ssl-ciphers': 'ECDHE-RSA-AES256-GCM-SHA384' }),
      ingress({ name: 'passed', host: 'passed.test', paths: { '/': 'vault' }, annotations: passthrough }),
      ingress({
        name: 'passed',
        namespace: 'guest',
        host: 'passed.test',
        paths: { '/guest': 'recorder' },
        annotations: { 'auth-tls-secret': 'guest/root' },
      }),
      ...shared('both', { 'auth-tls-secret': 'guest/root' }, { 'auth-tls-secret': 'default/root' }),
      ingress({
        name: 'regex',
        host: 'regex.test',
        paths: { '/': 'recorder', '/app': 'recorder', '/api/v1': 'recorder' },
      }),
      ingress({
        name: 'regex',
        namespace: 'guest',
        host: 'regex.test',
        paths: { '/api(/|$)(.*)': 'recorder', '/app.*|/longer/than/any': 'recorder' },
        annotations: { 'rewrite-target': '/guest/$2' },
      }),
      ingress({
        name: 'patterns',
        host: 'patterns.test',
        paths: { '/(.*)': 'recorder' },
        annotations: { 'rewrite-target': '/owner/$1' },
      }),
      ingress({
        name: 'patterns',
        namespace: 'guest',
        host: 'patterns.test',
        paths: { '/(((((.*)))))': 'recorder', '/api/(.*)': 'recorder' },
        annotations: { 'rewrite-target': '/guest/$1' },
      }),
      ingress({ name: 'classes', host: 'classes.test', paths: { '/': 'recorder' } }),
      ingress({
        name: 'bytes',
        host: 'bytes.test',
        paths: { '/caf%E9': 'recorder', '/caf%C3%A9': 'recorder', '/a%5Cb': 'recorder', [long]: 'recorder' },
      }),
      ingress({
        name: 'bytes',
        namespace: 'guest',
        host: 'bytes.test',
        paths: { '/.*': 'recorder' },
        annotations: { 'use-regex': 'true', 'upstream-vhost': 'guest' },
      }),
      ingress({
        name: 'classes',
        namespace: 'guest',
        host: 'classes.test',
        paths: { '/api[](]|/': 'recorder', '/api[[:alpha:](]|/': 'recorder', '/😀*': 'recorder' },
        annotations: { 'use-regex': 'true', 'upstream-vhost': 'guest' },
      }),
      ...['challenge', 'solver'].map((host) =>
        ingress({
          name: host,
          host: `${host}.test`,
          paths: host === 'solver' ? { '/(.*)': 'recorder' } : { '/': 'recorder' },
          annotations: host === 'solver' ? { 'use-regex': 'true' } : {},
        }),
      ),
      ...['challenge', 'solver'].flatMap((host) => [
        ingress({
          name: host,
          namespace: 'guest',
          host: `${host}.test`,
          paths: { '/api(/|$)(.*)': 'recorder' },
          annotations: { 'rewrite-target': '/$2', 'upstream-vhost': 'guest' },
        }),
        ingress({
          name: `${host}-http01`,
          namespace: 'guest',
          host: `${host}.test`,
          paths: { '/.well-known/acme-challenge/token': 'recorder', '/....(.*)': 'recorder' },
          annotations: { 'upstream-vhost': 'guest' },
        }),
      ]),
      ingress({
        name: 'refused',
        namespace: 'guest',
        host: 'challenge.test',
        paths: { '/(': 'recorder' },
        annotations: { 'use-regex': 'true' },
      }),
      ingress({ name: 'exact', host: 'exact.wild.test', paths: { '/': 'recorder' } }),
      ingress({
        name: 'wild',
        namespace: 'guest',
        host: '*.wild.test',
        paths: { '/': 'vault' },
        annotations: passthrough,
      }),
    ],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  await vault?.stop();
});

async function inClear(name: string, path: string): Promise<number> {
  return (await exchange({ port: sluice.httpPort }, get(path, `${name}.test`))).status;
}

async function byTls(name: string, path: string, more: Record<string, unknown> = {}): Promise<number> {
  const tls = { servername: `${name}.test`, ...more };
  return (await exchange({ port: sluice.httpsPort, tls }, get(path, `${name}.test`))).status;
}

test('what a namespace protects on the host of another and cannot have closes its own paths alone', async () => {
  for (const name of ['snippet', 'missing', 'invalid', 'alone', 'wants']) {
    assert.deepEqual([await inClear(name, '/'), await byTls(name, '/')], [200, 200], name);
    assert.deepEqual([await inClear(name, '/guest'), await byTls(name, '/guest')], [503, 503], name);
  }
});

test('nor does it redirect the host, or choose how TLS is spoken with it', async () => {
  assert.equal(await inClear('root', '/'), 200);
  assert.deepEqual([await inClear('tls', '/'), await inClear('tls', '/guest')], [200, 308]);
  assert.equal(await byTls('tls', '/'), 200);
  const ciphers = { ciphers: 'ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES128-GCM-SHA256', maxVersion: 'TLSv1.2' };
  assert.equal(await byTls('suites', '/', ciphers), 200);
});

test('TLS that a host passes through goes on, and that of a wildcard goes past the hosts below it', async () => {
  vault.take();
  assert.equal(await byTls('exact.wild', '/'), 200);
  assert.equal(vault.take().length, 0);
  assert.equal(await byTls('other.wild', '/'), 200);
  assert.equal(await byTls('passed', '/'), 200);
  assert.equal(vault.take().length, 2);
  assert.deepEqual([await inClear('passed', '/'), await inClear('passed', '/guest')], [308, 503]);
});

test('expressions of others take nothing of a path that says more than they surely do', async () => {
  const targets = {
    '/': '/',
    '/app/x': '/app/x',
    '/apple': '/apple',
    '/api/v1/x': '/api/v1/x',
    '/api/v2': '/guest/v2',
  };
  for (const [path, target] of Object.entries(targets)) {
    recorder.take();
    assert.equal(await inClear('regex', path), 200);
    assert.equal((await recorder.request()).target, target);
  }
  for (const [path, target] of Object.entries({ '/x': '/owner/x', '/api/x': '/guest/x' })) {
    recorder.take();
    assert.equal(await inClear('patterns', path), 200);
    assert.equal((await recorder.request()).target, target);
  }
});

test('no class, dot or byte makes an expression say more of a path than it does', async () => {
  const takers = {
    'bytes /caf%E9/x': 'bytes.test',
    'bytes /caf%C3%A9': 'bytes.test',
    'bytes /a%5Cb': 'bytes.test',
    'bytes /caf%E8': 'guest',
    [`bytes ${long}`]: 'bytes.test',
    [`bytes ${long}x`]: 'guest',
    'classes /': 'classes.test',
    'classes /admin': 'classes.test',
    'challenge /.well-known/acme-challenge/token': 'guest',
    'challenge /.well-known/acme-challenge/other': 'challenge.test',
    'challenge /admin': 'challenge.test',
    'solver /.well-known/acme-challenge/token': 'guest',
    'solver /admin': 'solver.test',
  };
  for (const [line, host] of Object.entries(takers)) {
    const [name = '', path = ''] = line.split(' ');
    recorder.take();
    assert.equal(await inClear(name, path), 200, line);
    const { fields } = await recorder.request();
    assert.equal(fields.find(([field]) => field.toLowerCase() === 'host')?.[1], host, line);
  }
});

test('what clients prove to the host counts for those who ask for the same', async () => {
  assert.deepEqual([await byTls('both', '/'), await byTls('both', '/guest')], [400, 400]);
});

test('whoever is not heard is told so', async () => {
  const problems: { code: string; source: { namespace: string; name: string } }[] = JSON.parse(
    await sluice.admin('/problems'),
  );
  const codeOf = (name: string) => {
    const theirs = problems.filter(({ source }) => source.namespace === 'guest' && source.name === name);
    return theirs.map(({ code }) => code);
  };
  assert.deepEqual(codeOf('wants'), ['GuestUnproven']);
  assert.deepEqual(codeOf('root'), ['GuestIgnored']);
  assert.deepEqual(codeOf('tls'), ['GuestTls']);
  assert.deepEqual(codeOf('both'), []);
  assert.deepEqual(codeOf('challenge'), []);
  assert.deepEqual(codeOf('refused'), ['PathRegexInvalid']);
  assert.deepEqual(
    problems.filter(({ source, code }) => source.namespace === 'default' && code !== 'ConfigMapNotFound'),
    [],
  );
});
