import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Authority } from '../kit/authority.ts';
import type { CertificatePair } from '../kit/certificate.ts';
import { collectGarbage } from '../kit/garbage.ts';
import { testGateway } from '../kit/gateway.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, opaqueSecret, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { certificateRow, plainServerTls, plainTable, row } from '../kit/rows.ts';
import { SlowHandshake } from '../kit/slowhandshake.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

let root: Authority;
let recorder: Recorder;
let server: CertificatePair;
let alice: CertificatePair;
let bob: CertificatePair;
const started: Standalone[] = [];

before(async () => {
  root = await Authority.root();
  server = await root.issue({ names: ['need.test', 'open.test'] });
  alice = await root.issue({ subject: 'CN=alice' });
  bob = await root.issue({ subject: 'CN=bob' });
  recorder = await Recorder.start();
});

after(async () => {
  for (const sluice of started) await sluice.stop();
  await recorder?.stop();
});

/** @param asked host of the Ingress that asks for certificates; undefined: every host */
function manifests(
  material: Record<string, string>,
  annotations: Record<string, string> = {},
  asked?: string,
): Manifest[] {
  const all = { 'auth-tls-secret': 'default/root', ...annotations };
  const host = asked === undefined ? {} : { host: asked, tlsSecret: 'server' };
  return [
    ingressClass(),
    ...service('recorder', [recorder.port]),
    tlsSecret('server', server),
    opaqueSecret('root', material),
    ingress({ name: 'asks', ...host, paths: { '/': 'recorder' }, annotations: all }),
    ingress({ name: 'open', host: 'open.test', paths: { '/': 'recorder' }, tlsSecret: 'server' }),
  ];
}

async function start(rows: Manifest[], args: string[] = []): Promise<Standalone> {
  const sluice = await Standalone.start({ manifests: rows, workers: 2, args });
  started.push(sluice);
  return sluice;
}

async function statusOf(
  sluice: Standalone,
  servername: string,
  host: string,
  client?: CertificatePair,
): Promise<number> {
  return (await exchange({ port: sluice.httpsPort, tls: { servername, ...client } }, get('/', host))).status;
}

test('authorities and lists that change under load fail no handshake of those who stay trusted', async () => {
  const other = await Authority.root('Other Root');
  const listed = await root.revoke(bob);
  const versions = [
    { 'ca.crt': root.cert },
    { 'ca.crt': `${root.cert}\n${other.cert}` },
    { 'ca.crt': root.cert, 'ca.crl': listed },
  ];
  const sluice = await start(manifests(versions[0] ?? {}, {}, 'need.test'));
  const load = { port: sluice.httpsPort, connections: 4, requestsPerSecond: 60, isTls: true };
  const asked = Load.start({ ...load, host: 'need.test', certificate: alice, keepsAlive: false });
  const kept = Load.start({ ...load, host: 'open.test' });
  try {
    for (let turn = 1; turn < 10; turn++) {
      await sluice.apply(manifests(versions[turn % versions.length] ?? {}, {}, 'need.test'));
      const isListed = turn % versions.length === 2;
      assert.equal(await statusOf(sluice, 'need.test', 'need.test', bob), isListed ? 400 : 200);
    }
  } finally {
    const reports = [await asked.stop(), await kept.stop()];
    assert.deepEqual(
      reports.map(({ failures }) => failures),
      [[], []],
    );
  }
});

test('who is revoked loses the connections that he has, and who loses his host keeps none', async () => {
  const sluice = await start(manifests({ 'ca.crt': root.cert }, {}, 'need.test'));
  const open = async (pair: CertificatePair) => {
    const client = await RawClient.open({ port: sluice.httpsPort, tls: { servername: 'need.test', ...pair } });
    client.send(get('/', 'need.test'));
    assert.equal((await client.response(0)).status, 200);
    return client;
  };
  const [first, second] = [await open(bob), await open(alice)];
  await sluice.apply(manifests({ 'ca.crt': root.cert, 'ca.crl': await root.revoke(bob) }, {}, 'need.test'));
  await waitUntil(() => first.isDone && second.isDone, 'the connections to end');
  assert.equal(await statusOf(sluice, 'need.test', 'need.test', bob), 400);
  assert.equal(await statusOf(sluice, 'need.test', 'need.test', alice), 200);
  const third = await open(alice);
  await sluice.apply(manifests({ 'ca.crt': root.cert }, { 'auth-tls-verify-client': 'off' }, 'need.test'));
  await waitUntil(() => third.isDone, 'the connection to end');
  assert.equal(await statusOf(sluice, 'need.test', 'need.test'), 200);
  // The other way round, a connection that nobody was asked on is of no use any more.
  const fourth = await RawClient.open({ port: sluice.httpsPort, tls: { servername: 'need.test', ...alice } });
  await sluice.apply(manifests({ 'ca.crt': root.cert }, {}, 'need.test'));
  fourth.send(get('/', 'need.test'));
  assert.equal((await fourth.response(0)).status, 421);
  await fourth.closed();
});

test('who began a handshake or a request before he was revoked gets one answer and no connection', async () => {
  const sluice = await start(manifests({ 'ca.crt': root.cert }, {}, 'need.test'));
  const bobs = { servername: 'need.test', ...bob };
  const wire = new SlowHandshake(sluice.httpsPort);
  const shaking = await RawClient.open({ port: 0, tls: { ...bobs, socket: wire.socket } });
  const asking = await RawClient.open({ port: sluice.httpsPort, tls: bobs });
  const request = get('/', 'need.test');
  asking.send(request + request.slice(0, 10));
  assert.equal((await asking.response(0)).status, 200);
  await sluice.apply(manifests({ 'ca.crt': root.cert, 'ca.crl': await root.revoke(bob) }, {}, 'need.test'));
  wire.release();
  shaking.send(request);
  asking.send(request.slice(10));
  for (const [client, nth] of [
    [shaking, 0],
    [asking, 1],
  ] as const) {
    assert.equal(fieldValue(await client.response(nth), 'connection'), 'close');
    await client.closed();
  }
  assert.equal(await statusOf(sluice, 'need.test', 'need.test', bob), 400);
});

test('where every host asks, so do handshakes without a name or with an unknown one, and not those of an open host', async () => {
  const sluice = await start(manifests({ 'ca.crt': root.cert }));
  for (const servername of ['', 'unknown.test']) {
    assert.equal(await statusOf(sluice, servername, 'unknown.test', alice), 200);
    assert.equal(await statusOf(sluice, servername, 'unknown.test'), 400);
    assert.equal(await statusOf(sluice, servername, 'open.test', alice), 421);
  }
  assert.equal(await statusOf(sluice, 'open.test', 'open.test'), 200);
  assert.equal(await statusOf(sluice, 'open.test', 'unknown.test', alice), 421);
});

test('a trusted peer that ends TLS itself may tell of certificates, but not to a host that asks here', async () => {
  const sluice = await start(
    manifests({ 'ca.crt': root.cert }, { 'auth-tls-verify-client': 'optional' }, 'need.test'),
    ['--trusted-proxies', '127.0.0.0/8'],
  );
  const told = async (host: string) => {
    recorder.take();
    const tls = { servername: host };
    await exchange({ port: sluice.httpsPort, tls }, get('/', host, ['ssl-client-verify: SUCCESS']));
    return fieldValue(await recorder.request(), 'ssl-client-verify');
  };
  assert.equal(await told('open.test'), 'SUCCESS');
  assert.equal(await told('need.test'), 'NONE');
});

test('nothing is kept of a list of revoked certificates that another one has followed', async () => {
  const clientAuth = { mode: 'require', caSecretId: 'ca', crlSecretId: 'crl', depth: 1, subject: null } as const;
  const list = async (...pairs: CertificatePair[]) => row('secret', { id: 'crl', value: await root.revoke(...pairs) });
  const { live, apply, stop } = await testGateway([
    ...plainTable([]),
    row('listener', {
      id: 'https',
      protocol: 'https',
      tls: { ...plainServerTls, defaultCertificateId: 'server' },
    }),
    certificateRow('server', ['need.test'], server),
    row('host', {
      id: 'need',
      hostname: 'need.test',
      listenerIds: ['https'],
      certificateIds: ['server'],
      clientAuth: { ...clientAuth, errorPage: null, passesCertificate: false, clearPrefixes: [] },
    }),
    row('secret', { id: 'ca', value: root.cert }),
    await list(bob),
  ]);
  // The tables are looked at alone.
  await stop();
  // A handshake may be in progress when the next one comes.
  let before = live.terms('https', 'need.test');
  const contextOf = (terms: typeof before) => new WeakRef(live.secureContext('https', 'need.test', terms) ?? {});
  const held = [contextOf(before)];
  apply([await list(bob, alice)]);
  held.push(contextOf(before));
  before = null;
  const now = contextOf(live.terms('https', 'need.test'));
  // What a WeakRef has led to stays until the end of the turn.
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  assert.deepEqual(
    held.map((context) => context.deref()),
    [undefined, undefined],
  );
  assert.notEqual(now.deref(), undefined);
});
