import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Authority } from '../kit/authority.ts';
import type { CertificatePair } from '../kit/certificate.ts';
import { Load } from '../kit/load.ts';
import { ingress, ingressClass, type Manifest, opaqueSecret, service } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

let root: Authority;
let other: Authority;
/** By the certificate that they show. */
const backends = new Map<string, Recorder>();
let sluice: Standalone;

const own = { 'backend-protocol': 'HTTPS' };
const verified = { ...own, 'proxy-ssl-secret': 'default/authority', 'proxy-ssl-verify': 'on' };

function site(name: string, backend: string | readonly string[], annotations: Record<string, string>): Manifest[] {
  const ports = [backend].flat().map((each) => backends.get(each)?.port ?? 0);
  return [ingress({ name, host: `${name}.test`, paths: { '/': name }, annotations }), ...service(name, ports)];
}

before(async () => {
  root = await Authority.root();
  other = await Authority.root('Other Root');
  const lower = await root.intermediate('Intermediate');
  const client = await root.issue({ subject: 'CN=gateway' });
  const start = async (name: string, pair: CertificatePair, more: object = {}) => {
    backends.set(
      name,
      await Recorder.start({ onRequest: (request) => answer(request, name), tls: { ...pair, ...more } }),
    );
  };
  await start('good', await root.issue({ names: ['pod.test', 'spiffe://test/ns/default/sa/web'] }));
  await start('cluster', await root.issue({ names: ['cluster.default.svc'] }));
  await start('common-name', await root.issue({ subject: 'CN=pod.test' }));
  await start('address', await root.issue({ names: ['192.0.2.7'] }));
  await start('stranger', await other.issue({ names: ['pod.test'] }));
  await start('expired', await root.issue({ names: ['pod.test'], isExpired: true }));
  await start('deep', await lower.issue({ names: ['pod.test'] }));
  const breaking = await Recorder.start({
    onRequest: ({ connection }) => connection.socket.destroy(),
    tls: await other.issue({ names: ['pod.test'] }),
  });
  backends.set('breaking', breaking);
  const odd = await root.issue({ names: ['pod.test'] });
  await start('odd', { ...odd, cert: `${odd.cert}\n${await root.namesake('secp256k1')}` });
  await start('old', await root.issue({ names: ['pod.test'] }), { maxVersion: 'TLSv1.2' });
  const asking = { ca: root.cert, requestCert: true, rejectUnauthorized: true };
  await start('asking', await root.issue({ names: ['pod.test'] }), asking);
  await start('asking-old', await root.issue({ names: ['pod.test'] }), { ...asking, maxVersion: 'TLSv1.2' });

  backends.set('plain', await Recorder.start({ onRequest: (request) => answer(request, 'plain') }));

  const named = { ...verified, 'proxy-ssl-name': 'pod.test' };
  const showing = { ...named, 'proxy-ssl-secret': 'default/client' };
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      opaqueSecret('authority', { 'ca.crt': root.cert }),
      opaqueSecret('client', { 'ca.crt': root.cert, 'tls.crt': client.cert, 'tls.key': client.key }),
      ...site('named', 'good', { ...named, 'proxy-ssl-server-name': 'on' }),
      ...site('unnamed', 'good', named),
      ...site('cluster', 'cluster', verified),
      ...site('auto', 'good', { ...named, 'backend-protocol': 'AUTO_HTTP' }),
      ...site('auto-plain', 'plain', { 'backend-protocol': 'AUTO_HTTP' }),
      ...site('common-name', 'common-name', named),
      ...site('address', 'address', { ...verified, 'proxy-ssl-name': '192.0.2.7', 'proxy-ssl-server-name': 'on' }),
      ...site('long', 'good', { ...own, 'proxy-ssl-server-name': 'on', 'upstream-vhost': `${'pod.'.repeat(64)}test` }),
      ...site('wrong-name', 'good', { ...verified, 'proxy-ssl-name': 'other.test' }),
      ...site('stranger', 'stranger', named),
      ...site('expired', 'expired', named),
      ...site('flat', 'deep', { ...named, 'proxy-ssl-verify-depth': '0' }),
      ...site('deep', 'deep', named),
      ...site('odd', 'odd', named),
      ...site('anybody', 'breaking', own),
      ...site('spiffe', 'good', { ...verified, 'proxy-ssl-subject-names': 'spiffe://test/ns/default/sa/web' }),
      ...site('wrong-spiffe', 'good', { ...verified, 'proxy-ssl-subject-names': 'spiffe://test/ns/default/sa/we' }),
      ...site('shown', 'asking', showing),
      ...site('shown-old', 'asking-old', showing),
      ...site('not-shown', 'asking', named),
      ...site('not-shown-old', 'asking-old', named),
      ...site('old-only', 'good', { ...named, 'proxy-ssl-protocols': 'TLSv1.2' }),
      ...site('new-only', 'old', { ...named, 'proxy-ssl-protocols': 'TLSv1.3' }),
      ...site('suite', 'old', { ...named, 'proxy-ssl-ciphers': 'ECDHE-ECDSA-CHACHA20-POLY1305' }),
      ...site('mixed', ['stranger', 'good'], { ...named, 'load-balance': 'round_robin' }),
    ],
    args: ['--access-log', 'stdout'],
  });
});

after(async () => {
  await sluice?.stop();
  for (const backend of backends.values()) await backend.stop();
});

const ask = (site: string) => exchange({ port: sluice.httpPort }, get('/', `${site}.test`));
const askSecurely = (site: string) => {
  const name = `${site}.test`;
  return exchange({ port: sluice.httpsPort, tls: { servername: name } }, get('/', name));
};
const socketOf = async (backend: string, index = 0) =>
  (await backends.get(backend)?.request(index))?.connection.socket as TLSSocket;

/** Flag and reason of the last request of a host, from the access log. */
function logged(site: string): Promise<string> {
  return eventually(async () => {
    const lines = sluice.process.stdout.split('\n').filter((line) => line.includes(`"authority":"${site}.test"`));
    const last = lines.at(-1);
    if (last === undefined) return undefined;
    const { response_flags: flag, upstream_transport_failure_reason: reason } = JSON.parse(last);
    return `${flag} ${reason}`;
  }, `the log line of ${site}`);
}

test('a backend that proves its name by the authority is spoken to, and hears the name only when told to', async () => {
  backends.get('good')?.take();
  assert.equal((await ask('named')).body.toString(), 'good');
  assert.equal((await socketOf('good')).servername, 'pod.test');
  backends.get('good')?.take();
  assert.equal((await ask('unnamed')).body.toString(), 'good');
  assert.equal((await socketOf('good')).servername, false);
  assert.equal((await ask('cluster')).body.toString(), 'cluster');
  assert.equal((await ask('spiffe')).body.toString(), 'good');
  assert.equal((await ask('deep')).body.toString(), 'deep');
  assert.equal((await ask('common-name')).body.toString(), 'common-name');
});

test('an address may be what the certificate is for, and is no server name (RFC 6066 §3)', async () => {
  assert.equal((await ask('address')).body.toString(), 'address');
  assert.equal((await socketOf('address')).servername, false);
});

test('a name that is too long to be sent is not, and ends no connection of a client', async () => {
  backends.get('good')?.take();
  assert.equal((await askSecurely('long')).body.toString(), 'good');
  assert.equal((await socketOf('good')).servername, false);
});

test('AUTO_HTTP: a backend is spoken to as the client speaks', async () => {
  assert.equal((await askSecurely('auto')).body.toString(), 'good');
  assert.equal((await ask('auto')).status, 502);
  assert.equal((await ask('auto-plain')).body.toString(), 'plain');
});

test('one that cannot gets no request at all', async () => {
  for (const backend of backends.values()) backend.take();
  const reasons: Record<string, string> = {
    'wrong-name': 'UV ERR_TLS_CERT_ALTNAME_INVALID',
    'wrong-spiffe': 'UV ERR_TLS_CERT_ALTNAME_INVALID',
    stranger: 'UV SELF_SIGNED_CERT_IN_CHAIN',
    expired: 'UV CERT_HAS_EXPIRED',
    flat: 'UV CERT_CHAIN_TOO_LONG',
  };
  for (const [site, reason] of Object.entries(reasons)) {
    const response = await ask(site);
    assert.equal(response.status, 502, site);
    assert.match(response.body.toString(), /certificate of the backend is not trusted/, site);
    assert.match(
      await logged(site),
      new RegExp(
        `^${reason.replace('SELF_SIGNED_CERT_IN_CHAIN', '(SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)')}$`,
      ),
      site,
    );
  }
  for (const [name, backend] of backends) assert.deepEqual(backend.take(), [], name);
});

test('what a backend sends beside its certificate may be anything: Node dies of keys on some curves', async () => {
  assert.equal((await ask('odd')).body.toString(), 'odd');
  assert.doesNotMatch(sluice.process.stderr, /worker ended/);
});

test('a backend that has to prove nothing and breaks off may have run the request: a POST is not sent again', async () => {
  const fields = 'Host: anybody.test\r\nContent-Length: 1';
  const response = await exchange({ port: sluice.httpPort }, `POST / HTTP/1.1\r\n${fields}\r\n\r\nx`, 'POST');
  assert.equal(response.status, 502);
  assert.match(await logged('anybody'), /^UC /);
  assert.equal(backends.get('breaking')?.take().length, 1);
});

test('another endpoint is tried when one is not who it should be', async () => {
  for (let i = 0; i < 8; i++) assert.equal((await ask('mixed')).body.toString(), 'good');
  assert.deepEqual(backends.get('stranger')?.take(), []);
});

test('the certificate of the gateway is shown to backends that ask for one', async () => {
  for (const [site, backend] of [
    ['shown', 'asking'],
    ['shown-old', 'asking-old'],
  ] as const) {
    backends.get(backend)?.take();
    assert.equal((await ask(site)).body.toString(), backend);
    assert.equal((await socketOf(backend)).getPeerCertificate().subject.CN, 'gateway');
  }
  const response = await ask('not-shown-old');
  assert.equal(response.status, 502);
  assert.match(response.body.toString(), /could not agree on TLS/);
  assert.match(await logged('not-shown-old'), /^UF ERR_SSL_/);
  // With TLS 1.3 the backend's alert may be lost in the reset that follows it.
  assert.equal((await ask('not-shown')).status, 502);
  for (const backend of ['asking', 'asking-old']) assert.equal(backends.get(backend)?.take().length, 1);
});

test('versions and suites are those that were asked for', async () => {
  const response = await ask('new-only');
  assert.equal(response.status, 502);
  assert.match(await logged('new-only'), /^UF ERR_SSL_/);
  backends.get('good')?.take();
  assert.equal((await ask('old-only')).body.toString(), 'good');
  assert.equal((await socketOf('good')).getProtocol(), 'TLSv1.2');
  backends.get('old')?.take();
  assert.equal((await ask('suite')).body.toString(), 'old');
  assert.equal((await socketOf('old')).getCipher().name, 'ECDHE-ECDSA-CHACHA20-POLY1305');
});

test('the next connection to a backend resumes the session of the one before', async () => {
  const good = backends.get('good') as Recorder;
  const isReused: boolean[] = [];
  for (let i = 0; i < 3; i++) {
    good.take();
    assert.equal((await ask('unnamed')).status, 200);
    const socket = await socketOf('good');
    isReused.push(socket.isSessionReused());
    const closed = once(socket, 'close');
    socket.end();
    await closed;
  }
  assert.deepEqual(isReused.slice(1), [true, true]);
});

test('new key material is in force for the next request, and no request fails for it', async () => {
  const roots = [await Authority.root('First'), await Authority.root('Second')] as const;
  const pairs = await Promise.all(roots.map((authority) => authority.issue({ names: ['pod.test'] })));
  const clients = await Promise.all(
    Array.from({ length: 10 }, (_, turn) => (roots[turn % 2] as Authority).issue({ subject: `CN=gateway-${turn}` })),
  );
  const both = roots.map(({ cert }) => cert).join('\n');
  const asking = { ca: both, requestCert: true, rejectUnauthorized: true };
  const backend = await Recorder.start({
    tls: { ...pairs[0], ...asking },
    onRequest: (request) =>
      answer(request, String((request.connection.socket as TLSSocket).getPeerCertificate().subject.CN)),
  });
  const manifests = (turn: number): Manifest[] => {
    const { cert = '', key = '' } = clients[turn] ?? {};
    return [
      ingressClass(),
      opaqueSecret('client', { 'ca.crt': turn % 3 === 0 ? both : roots[0].cert, 'tls.crt': cert, 'tls.key': key }),
      ingress({
        name: 'web',
        host: 'web.test',
        paths: { '/': 'web' },
        annotations: { ...verified, 'proxy-ssl-secret': 'default/client', 'proxy-ssl-name': 'pod.test' },
      }),
      ...service('web', [backend.port]),
    ];
  };
  const rotating = await Standalone.start({ manifests: manifests(0), workers: 2 });
  const load = Load.start({ port: rotating.httpPort, host: 'web.test', connections: 8, requestsPerSecond: 200 });
  try {
    for (let turn = 1; turn < clients.length; turn++) {
      await rotating.apply(manifests(turn));
      const response = await exchange({ port: rotating.httpPort }, get('/', 'web.test'));
      assert.equal(response.body.toString(), `gateway-${turn}`);
    }
    // What was opened with the material of before has gone, idle or not.
    await waitUntil(() => {
      const open = backend.connections.filter(({ isClosed }) => !isClosed);
      return open.every(({ socket }) => (socket as TLSSocket).getPeerCertificate().subject.CN === 'gateway-9');
    }, 'the old connections to end');
    const report = await load.stop();
    assert.deepEqual(report.failures, []);
    assert(report.bodies.size > 2, 'the load saw several certificates');
  } finally {
    await load.stop();
    await rotating.stop();
    await backend.stop();
  }
});
