import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, createServer, type Server } from 'node:tls';
import { Authority } from '../kit/authority.ts';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, opaqueSecret, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';

const launcher = resolve(import.meta.dirname, '../../sluice.js');
let secure: Server;
let recorder: Recorder;
let gateway: Standalone;

before(async () => {
  const pair = await certificateFor(['in.test']);
  secure = createServer(pair, (socket) => socket.end());
  secure.listen(0, '127.0.0.1');
  await once(secure, 'listening');
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const root = await Authority.root();
  const passed = (name: string, paths: Record<string, string>, sources?: string) =>
    ingress({
      name,
      host: `${name}.test`,
      paths,
      annotations: { 'ssl-passthrough': 'true', ...(sources !== undefined && { 'allowlist-source-range': sources }) },
    });
  const proves = { 'auth-tls-secret': 'default/root' };
  gateway = await Standalone.start({
    manifests: [
      ingressClass(),
      ...service('secure', [(secure.address() as AddressInfo).port]),
      ...service('plain', [recorder.port]),
      ...service('idle', []),
      opaqueSecret('root', { 'ca.crt': root.cert }),
      tlsSecret('server', pair),
      passed('in', { '/': 'secure' }, '127.0.0.0/8'),
      passed('out', { '/': 'secure' }, '192.0.2.0/24'),
      passed('idle', { '/': 'idle' }),
      passed('gone', { '/': 'nobody' }),
      ingress({ name: 'proved', host: 'proved.test', paths: { '/': 'plain' }, annotations: proves }),
      ingress({ name: 'sent', host: 'sent.test', paths: { '/': 'plain' }, annotations: proves, tlsSecret: 'server' }),
      ingress({
        name: 'far',
        host: 'far.test',
        paths: { '/': 'plain' },
        annotations: { 'force-ssl-redirect': 'true' },
      }),
      ingress({ name: 'rest', paths: { '/': 'plain' } }),
      ingress({ name: 'home', host: 'home.test', paths: { '/': 'plain' }, annotations: { 'app-root': '/home' } }),
    ],
  });
});

after(async () => {
  await gateway?.stop();
  await recorder?.stop();
  secure?.close();
});

function explain(url: string, ...args: string[]): { status: number | null; stdout: string } {
  const client = ['--client', '127.0.0.1', '--file', join(gateway.dir, 'all.yaml')];
  return spawnSync(process.execPath, [launcher, 'explain', url, ...client, ...args], { encoding: 'utf8' });
}

const names: [name: string, told: RegExp][] = [
  ['in', /^answer {4}of default\/secure\/80#tcp$/m],
  ['out', /^answer {4}reset: connections from this address are not let through$/m],
  ['idle', /^answer {4}reset: no endpoint of default\/idle\/80#tcp is ready$/m],
  ['gone', /^answer {4}reset: The Service default\/nobody does not exist, /m],
];
for (const [name, told] of names) {
  test(`TLS that is passed on for ${name}.test ends as explain says`, async () => {
    const socket = connect({ port: gateway.httpsPort, servername: `${name}.test`, rejectUnauthorized: false });
    const end = await Promise.race([
      once(socket, 'secureConnect').then(() => 'there'),
      once(socket, 'close').then(() => 'reset'),
    ]).catch((error: NodeJS.ErrnoException) => error.code);
    socket.destroy();
    const { status, stdout } = explain(`https://${name}.test/`);
    assert.match(stdout, told);
    assert.deepEqual([end, status], name === 'in' ? ['there', 0] : ['ECONNRESET', 1]);
  });
}

test('no host is named for TLS that is passed on, though one of all names is there', () => {
  const told = explain('https://in.test/');
  assert.doesNotMatch(told.stdout, /^host /m);
  assert.match(told.stdout, /^passed on undecrypted, by passthrough\/in\.test /m);
});

test('who may open a connection that is passed on is not guessed', () => {
  const args = [launcher, 'explain', 'https://out.test/', '--file', join(gateway.dir, 'all.yaml')];
  const { stdout, status } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  assert.match(stdout, /^answer {4}of default\/secure\/80#tcp$/m);
  assert.match(stdout, /^client {4}who may come is limited by address/m);
  assert.equal(status, 0);
});

for (const [name, path] of [
  ['proved', '/'],
  ['proved', '/.well-known/acme-challenge/x'],
  ['sent', '/'],
] as const) {
  test(`in the clear nothing can be proved: ${name}.test${path} is answered as explain says`, async () => {
    const { status } = await exchange({ port: gateway.httpPort }, get(path, `${name}.test`));
    const told = explain(`http://${name}.test${path}`);
    assert.match(
      told.stdout,
      status === 200 ? /^answer {4}of default\/plain\/80$/m : new RegExp(`^answer {4}${status} `, 'm'),
    );
    assert.equal(told.status, status < 400 ? 0 : 1);
  });
}

test('a URL without a scheme has that of the listener that is named', async () => {
  const { status } = await exchange(
    { port: gateway.httpsPort, tls: { rejectUnauthorized: false } },
    get('/', 'far.test'),
  );
  assert.equal(status, 200);
  assert.match(explain('far.test', '--listener', 'https').stdout, /^answer {4}of default\/plain\/80$/m);
  assert.match(explain('far.test').stdout, /^answer {4}308 to https:\/\/far\.test$/m);
});

test('behind a balancer that ends TLS, nothing can be proved either', () => {
  assert.match(explain('https://proved.test/', '--listener', 'http').stdout, /^answer {4}400 the host asks clients/m);
});

test('a listener of connections takes no URL', async () => {
  const page = JSON.parse(await gateway.admin('/tables')) as { listener: Record<string, object> };
  page.listener['tcp/5432'] = { ...page.listener['http'], id: 'tcp/5432', protocol: 'tcp', port: 5432 };
  const args = [launcher, 'explain', 'far.test', '--listener', 'tcp/5432', '--tables', '-'];
  const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', input: JSON.stringify(page) });
  assert.equal(stderr, 'error: the listener tcp/5432 carries tcp, and no URL\n');
});

test('a redirect keeps the port by which the client came', async () => {
  const response = await exchange({ port: gateway.httpPort }, get('/', 'home.test:8080'));
  const location = fieldValue(response, 'location');
  assert.equal(location, 'http://home.test:8080/home');
  assert.match(explain('http://home.test:8080/').stdout, /^answer {4}302 to http:\/\/home\.test:8080\/home$/m);
});
