import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ingress, ingressClass, service } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { TcpBackend } from '../kit/tcpbackend.ts';

let recorder: Recorder;
let raw: TcpBackend;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  raw = await TcpBackend.start();
  const site = (name: string, annotations: Record<string, string>, to = 'recorder') =>
    ingress({ name, host: `${name}.test`, paths: { '/': to }, annotations });
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      site('office', { 'allowlist-source-range': '198.51.100.0/24,2001:db8::/32' }),
      site('pests', { 'denylist-source-range': '203.0.113.0/24' }),
      site('local', { 'whitelist-source-range': '127.0.0.0/8' }),
      ingress({
        name: 'moved',
        host: 'moved.test',
        paths: { '/': 'recorder', '/folder/': 'recorder' },
        annotations: { 'allowlist-source-range': '198.51.100.0/24', 'app-root': '/start' },
      }),
      ingress({ name: 'front', host: 'split.test', paths: { '/': 'recorder' } }),
      ingress({
        name: 'back',
        host: 'split.test',
        paths: { '/admin': 'recorder', '=/exact': 'recorder' },
        annotations: { 'allowlist-source-range': '198.51.100.0/24', 'force-ssl-redirect': 'true' },
      }),
      ingress({ name: 'loud', host: 'split.test', paths: { '/LOUD': 'recorder', '/quiet/': 'recorder' } }),
      ingress({
        name: 'soft',
        host: 'split.test',
        paths: { '/loud': 'recorder', '=/quiet': 'recorder' },
        annotations: { 'allowlist-source-range': '198.51.100.0/24' },
      }),
      ingress({
        name: 'vault',
        host: 'split.test',
        paths: { '/vault': 'recorder' },
        annotations: { 'auth-url': 'http://auth.test/' },
      }),
      site('raw-open', { 'ssl-passthrough': 'true', 'whitelist-source-range': '127.0.0.0/8' }, 'raw'),
      site('raw-shut', { 'ssl-passthrough': 'true', 'whitelist-source-range': '198.51.100.0/24' }, 'raw'),
      ...service('recorder', [recorder.port]),
      ...service('raw', [raw.port]),
    ],
    args: ['--trusted-proxies', '127.0.0.0/8'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  raw?.close();
});

async function ask(host: string, fields: readonly string[] = []) {
  return exchange({ port: sluice.httpPort }, get('/', host, fields));
}

const from = (chain: string) => [`X-Forwarded-For: ${chain}`];

test('behind a trusted proxy the client is whom it names, and nobody left of that is believed', async () => {
  assert.equal((await ask('office.test', from('198.51.100.7'))).status, 200);
  assert.equal((await ask('office.test', from('2001:DB8:0::1'))).status, 200);
  assert.equal((await ask('office.test', from('192.0.2.1'))).status, 403);
  assert.equal((await ask('office.test', from('198.51.100.7, 192.0.2.1'))).status, 403);
  assert.equal((await ask('office.test', from('192.0.2.1, 198.51.100.7, 127.9.9.9'))).status, 200);
  assert.equal((await ask('pests.test', from('203.0.113.1'))).status, 403);
  assert.equal((await ask('pests.test', from('192.0.2.1'))).status, 200);
});

test('a trusted proxy that names nobody is the client', async () => {
  assert.equal((await ask('local.test')).status, 200);
  assert.equal((await ask('office.test')).status, 403);
});

test('who is refused is told by the gateway, reaches no backend, and keeps the connection', async () => {
  recorder.take();
  const client = await RawClient.open({ port: sluice.httpPort });
  client.send(get('/', 'office.test', from('192.0.2.1')));
  const refused = await client.response();
  assert.equal(refused.status, 403);
  assert.match(refused.body.toString(), /not let through/);
  client.send(get('/', 'office.test', from('198.51.100.7')));
  assert.equal((await client.response(1)).status, 200);
  client.destroy();
  assert.equal(recorder.take().length, 1);
  const figure = /^sluice_http_responses_flagged_total\{flag="AD"\} (\d+)$/m.exec(await sluice.admin('/metrics'));
  assert.ok(Number(figure?.[1]) > 0);
});

test('who is refused is not redirected either', async () => {
  for (const [path, status] of [
    ['/', 302],
    ['/folder', 301],
  ] as const) {
    const asked = (chain: string) => exchange({ port: sluice.httpPort }, get(path, 'moved.test', from(chain)));
    assert.equal((await asked('198.51.100.7')).status, status);
    assert.equal((await asked('192.0.2.1')).status, 403, path);
  }
});

test('no spelling of a path that some server reads as another leads past a list', async () => {
  recorder.take();
  for (const path of [
    '/admin\\users',
    '/admin//../users',
    '/admin//..',
    '/x%2fy/../admin',
    '/x%2Fy/%2e%2e/admin',
    '/x/;/../admin',
    '/x/%5c/../admin',
  ]) {
    const { status } = await exchange({ port: sluice.httpPort }, get(path, 'split.test', from('192.0.2.1')));
    assert.equal(status, 400, path);
  }
  assert.deepEqual(recorder.take(), []);
  assert.equal((await exchange({ port: sluice.httpPort }, get('/x//y/../z', 'split.test'))).status, 200);
});

test('who may not come to a path may not come to what backends take for it', async () => {
  const ask = (path: string, client: string) =>
    exchange({ port: sluice.httpPort }, get(path, 'split.test', from(client))).then(({ status }) => status);
  for (const path of [
    '/admin;x',
    '/ADMIN',
    '/%41dmin;x',
    '/exact/',
    '/;x/admin/y',
    '/admin%3bx',
    '/;%2fx/admin',
    '/;%2fadmin',
    '/admin%5cx',
    '/admin/..',
    '/admin;/.%2e',
    '/admin/%2e%2e/x',
    '//x/admin',
  ]) {
    recorder.take();
    assert.equal(await ask(path, '192.0.2.1'), 403, path);
    assert.deepEqual(recorder.take(), [], path);
    assert.equal(await ask(path, '198.51.100.7'), 200, path);
  }
  for (const path of ['/x;admin', '//x/y', '/x/../y', '/x%20y', '/x;/admin'])
    assert.equal(await ask(path, '192.0.2.1'), 200, path);
  // Spelt so by rules of their own.
  for (const path of ['/LOUD', '/LOUD/x', '/quiet/']) assert.equal(await ask(path, '192.0.2.1'), 200, path);
  for (const path of ['/loud', '/Loud', '/LOUD;x', '/quiet', '/QUIET'])
    assert.equal(await ask(path, '192.0.2.1'), 403, path);
  // Closed for want of what would open it.
  for (const path of ['/vault', '/vault;x', '//x/vault']) assert.equal(await ask(path, '198.51.100.7'), 503, path);
});

test('a gRPC call is refused in its own words', async () => {
  const fields = [...from('192.0.2.1'), 'Content-Type: application/grpc', 'TE: trailers'];
  const reply = await ask('office.test', fields);
  assert.equal(reply.status, 200);
  assert.match(reply.head, /^grpc-status: 7\r$/im);
});

test('TLS that goes on undecrypted is let through by address, too', async () => {
  const tls = (servername: string) => ({ port: sluice.httpsPort, tls: { servername } });
  await assert.rejects(RawClient.open(tls('raw-shut.test')));
  assert.equal(raw.connections.length, 0);
  const opening = RawClient.open(tls('raw-open.test'));
  await (await raw.connection(0)).bytes(1);
  raw.connections[0]?.socket.destroy();
  await assert.rejects(opening);
});
