import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Authority } from '../kit/authority.ts';
import type { CertificatePair } from '../kit/certificate.ts';
import { H2Backend } from '../kit/h2backend.ts';
import { H2Client } from '../kit/h2client.ts';
import { ingress, ingressClass, type Manifest, opaqueSecret, service, tlsSecret } from '../kit/manifests.ts';
import { sClient, skipWithoutOpenSsl } from '../kit/openssl.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { waitUntil } from '../kit/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'sluice-client-auth-'));
const skip = skipWithoutOpenSsl();
let recorder: Recorder;
let grpc: H2Backend;
let sluice: Standalone;
let clients: Record<
  'alice' | 'mallory' | 'expired' | 'revoked' | 'deep' | 'deeper' | 'disguised' | 'self' | 'odd' | 'oddStranger',
  CertificatePair
>;

const names = ['verify', 'subject-dn', 'issuer-dn', 'cert'].map((name) => `ssl-client-${name}`);

function site(name: string, annotations: Record<string, string>, tls = 'server'): Manifest {
  const secret = tls === '' ? {} : { tlsSecret: tls };
  return ingress({ name, host: `${name}.test`, paths: { '/': 'recorder' }, annotations, ...secret });
}

before(async () => {
  const root = await Authority.root();
  const other = await Authority.root('Other Root');
  const lower = await root.intermediate('Intermediate');
  const lowest = await lower.intermediate('Second Intermediate');
  const revoked = await root.issue({ subject: 'CN=revoked' });
  const deeper = await lowest.issue({ subject: 'CN=deeper' });
  const namesake = await Authority.root('Second Intermediate');
  const decoy = await namesake.issue({ subject: 'CN=Second Intermediate', isExpired: true });
  const alice = await root.issue({ subject: 'C=DE, O="Acme, Inc", CN=alice' });
  const mallory = await other.issue({ subject: 'CN=alice' });
  clients = {
    alice,
    mallory,
    odd: { ...alice, cert: `${alice.cert}\n${await root.namesake('secp256k1')}` },
    oddStranger: { ...mallory, cert: `${mallory.cert}\n${await other.namesake('secp256k1')}` },
    expired: await root.issue({ subject: 'CN=alice', isExpired: true }),
    revoked,
    deep: await lower.issue({ subject: 'CN=deep' }),
    deeper,
    // As if its issuer were a root: by name alone, and not for OpenSSL, which passes over what has expired.
    disguised: { ...deeper, cert: deeper.cert.replace(lowest.chain, `${decoy.cert}${lowest.chain}`) },
    self: await Authority.root('CN=self').then((authority) => authority.issue({ subject: 'CN=self' })),
  };
  for (const [name, { cert, key }] of Object.entries(clients)) {
    writeFileSync(join(dir, `${name}.pem`), `${cert}\n${key}`);
  }
  recorder = await Recorder.start();
  grpc = await H2Backend.start();
  const secret = { 'auth-tls-secret': 'default/root' };
  const hosts = ['open', 'need', 'maybe', 'any', 'cn', 'page', 'listed', 'other', 'both', 'deep', 'grpc'].map(
    (name) => `${name}.test`,
  );
  sluice = await Standalone.start({
    workers: 2,
    manifests: [
      ingressClass(),
      ...service('recorder', [recorder.port]),
      ...service('grpc', [grpc.port]),
      tlsSecret('server', await root.issue({ names: hosts })),
      opaqueSecret('root', { 'ca.crt': root.cert }),
      opaqueSecret('other', { 'ca.crt': other.cert }),
      opaqueSecret('both', { 'ca.crt': `${other.cert.trim()}${root.cert}` }),
      opaqueSecret('listed', { 'ca.crt': root.cert, 'ca.crl': await root.revoke(revoked) }),
      site('open', {}),
      site('need', { ...secret, 'auth-tls-pass-certificate-to-upstream': 'true' }),
      site('maybe', { ...secret, 'auth-tls-verify-client': 'optional' }),
      site('any', { ...secret, 'auth-tls-verify-client': 'optional_no_ca' }),
      site('cn', { ...secret, 'auth-tls-match-cn': 'CN=al(ice|an)' }),
      site('page', { ...secret, 'auth-tls-error-page': 'https://login.test/none' }),
      site('listed', { 'auth-tls-secret': 'default/listed' }),
      site('other', { 'auth-tls-secret': 'default/other' }),
      site('both', { 'auth-tls-secret': 'default/both' }),
      site('deep', { ...secret, 'auth-tls-verify-depth': '2' }),
      site('clear', secret, ''),
      ingress({
        name: 'grpc',
        host: 'grpc.test',
        paths: { '/': 'grpc' },
        annotations: { ...secret, 'backend-protocol': 'GRPC' },
        tlsSecret: 'server',
      }),
    ],
    args: ['--access-log', 'stdout'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  await grpc?.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Asked {
  client?: CertificatePair;
  /** Server name in the handshake; the host's when absent. */
  sni?: string;
  fields?: readonly string[];
}

/** Status and what the backend heard of the client's certificate. */
async function ask(
  host: string,
  { client, sni = `${host}.test`, fields = [] }: Asked = {},
): Promise<[number, ...string[]]> {
  recorder.take();
  const tls = { servername: sni, ...client };
  const { status } = await exchange({ port: sluice.httpsPort, tls }, get('/', `${host}.test`, fields));
  return [status, ...heard()];
}

function heard(): string[] {
  return recorder.take().flatMap(({ fields }) => {
    const found = fields.filter(([name]) => name.toLowerCase().startsWith('ssl-client-'));
    return found.map(([name, value]) => `${name}: ${value.length > 200 ? '…' : value}`);
  });
}

const none = 'ssl-client-verify: NONE';
const aliceNames = ['ssl-client-subject-dn: CN=alice,O=Acme\\, Inc,C=DE', 'ssl-client-issuer-dn: CN=Test Root'];

test('a host that demands a certificate serves who has a good one, and tells the backend about it', async () => {
  assert.deepEqual(await ask('need', { client: clients.alice }), [
    200,
    'ssl-client-verify: SUCCESS',
    ...aliceNames,
    'ssl-client-cert: …',
  ]);
  recorder.take();
  await exchange({ port: sluice.httpsPort, tls: { servername: 'need.test', ...clients.alice } }, get('/', 'need.test'));
  const shown = fieldValue(await recorder.request(), 'ssl-client-cert') ?? '';
  assert.equal(decodeURIComponent(shown).trim(), clients.alice.cert.trim());
  assert.deepEqual(await ask('need'), [400]);
  for (const name of ['mallory', 'expired', 'self'] as const) {
    assert.deepEqual(await ask('need', { client: clients[name] }), [400], name);
  }
  await sluice.process.printed(/"authority":"need.test","[^\n]*/);
});

test('a host is the same with a dot at the end of its name', async () => {
  for (const [host, status] of [
    ['need', 200],
    ['other', 400],
  ] as const) {
    assert.equal((await ask(host, { client: clients.alice, sni: `${host}.test.` }))[0], status);
  }
});

test('what a client sends beside its certificate may be anything: Node dies of keys on some curves', async () => {
  assert.deepEqual(await ask('need', { client: clients.oddStranger }), [400]);
  assert.deepEqual(await ask('cn', { client: clients.odd }), [200, 'ssl-client-verify: SUCCESS', ...aliceNames]);
  assert.doesNotMatch(sluice.process.stderr, /worker ended/);
});

test('all authorities of a bundle count, though they stand on one line', async () => {
  assert.deepEqual((await ask('both', { client: clients.alice }))[0], 200);
  assert.deepEqual((await ask('both', { client: clients.mallory }))[0], 200);
  assert.deepEqual(await ask('both', { client: clients.self }), [400]);
});

test('more authorities than a server can name are told of, and close their host; every handshake would fail', async () => {
  const root = await Authority.root(`${'long '.repeat(20)}root`);
  // A list within an extension (RFC 8446 §4.2.4) of names, each with its length; Node names one twice that stands there twice.
  const room = Math.floor((65_535 - 2) / (2 + nameBytes(root.cert)));
  const server = await root.issue({ names: ['fits.test', 'long.test'] });
  const host = (name: string, count: number) => [
    opaqueSecret(name, { 'ca.crt': root.cert.trim().concat('\n').repeat(count) }),
    site(name, { 'auth-tls-secret': `default/${name}` }),
  ];
  const own = await Standalone.start({
    manifests: [
      ingressClass(),
      ...service('recorder', [recorder.port]),
      tlsSecret('server', server),
      ...host('fits', room),
      ...host('long', room + 1),
    ],
  });
  try {
    const client = await root.issue({ subject: 'CN=alice' });
    const askFor = (name: string, maxVersion: 'TLSv1.2' | 'TLSv1.3') =>
      exchange({ port: own.httpsPort, tls: { servername: name, maxVersion, ...client } }, get('/', name));
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      assert.equal((await askFor('fits.test', version)).status, 200, version);
      assert.equal((await askFor('long.test', version)).status, 503, version);
    }
    const told = new RegExp(`auth-tls-secret: the Secret default/long holds ${room + 1} authorities in ca\\.crt`);
    assert.match(own.process.stderr, told);
  } finally {
    await own.stop();
  }
});

/** As OpenSSL writes it: a SEQUENCE of a SET of a SEQUENCE of an OID of three bytes and the text, which is longer than 63 bytes. */
function nameBytes(cert: string): number {
  const text = new X509Certificate(cert).subject.length - 'CN='.length;
  return text + 2 + (3 + 2) + 2 + 2 + 2;
}

test('other modes: optional, any certificate, a subject, a page for those who have none', async () => {
  assert.deepEqual(await ask('maybe'), [200, none]);
  assert.deepEqual(await ask('maybe', { client: clients.alice }), [200, 'ssl-client-verify: SUCCESS', ...aliceNames]);
  assert.deepEqual(await ask('maybe', { client: clients.mallory }), [400]);
  assert.deepEqual(await ask('any'), [200, none]);
  assert.deepEqual(await ask('any', { client: clients.expired }), [
    200,
    'ssl-client-verify: FAILED:certificate has expired',
    'ssl-client-subject-dn: CN=alice',
    'ssl-client-issuer-dn: CN=Test Root',
  ]);
  assert.deepEqual(
    (await ask('any', { client: clients.mallory }))[1],
    'ssl-client-verify: FAILED:unable to verify the first certificate',
  );
  assert.deepEqual((await ask('cn', { client: clients.alice }))[0], 200);
  assert.deepEqual(await ask('cn', { client: clients.revoked }), [403]);
  assert.deepEqual(await ask('cn'), [400]);
  const tls = { servername: 'page.test' };
  const sent = await exchange({ port: sluice.httpsPort, tls }, get('/', 'page.test'));
  assert.deepEqual([sent.status, fieldValue(sent, 'location')], [302, 'https://login.test/none']);
  assert.equal((await ask('page', { client: clients.alice }))[0], 200);
});

test('a revoked certificate is refused where there is a list, and a chain that is too long', async () => {
  assert.equal((await ask('need', { client: clients.revoked }))[0], 200);
  assert.deepEqual(await ask('listed', { client: clients.revoked }), [400]);
  assert.equal((await ask('listed', { client: clients.alice }))[0], 200);
  assert.equal((await ask('need', { client: clients.deep }))[0], 200);
  assert.deepEqual(await ask('need', { client: clients.deeper }), [400]);
  assert.deepEqual(await ask('need', { client: clients.disguised }), [400]);
  assert.equal((await ask('deep', { client: clients.deeper }))[0], 200);
});

test('a backend of HTTP/2 is told of the certificate, too, and by nobody but the gateway', async () => {
  const tls = { servername: 'grpc.test', ...clients.alice };
  const request = get('/', 'grpc.test', ['ssl-client-verify: NONE', 'ssl-client-subject-dn: CN=mallory']);
  assert.equal((await exchange({ port: sluice.httpsPort, tls }, request)).status, 200);
  const { headers } = await grpc.request();
  assert.equal(headers['ssl-client-verify'], 'SUCCESS');
  assert.equal(headers['ssl-client-subject-dn'], 'CN=alice,O=Acme\\, Inc,C=DE');
});

test('what a client claims of its certificate never reaches a backend', async () => {
  const fields = names.map((name) => `${name}: SUCCESS`);
  assert.deepEqual(await ask('open', { fields }), [200]);
  assert.deepEqual(await ask('maybe', { fields }), [200, none]);
  assert.deepEqual(await ask('open', { fields: fields.map((line) => line.toUpperCase()) }), [200]);
  assert.deepEqual(await ask('need', { client: clients.alice, fields }), [
    200,
    'ssl-client-verify: SUCCESS',
    ...aliceNames,
    'ssl-client-cert: …',
  ]);
});

test('nor does a field that backends take for another one: PHP reads a dot as a dash, lighttpd any sign', async () => {
  const signs = [..."_.!#$%&'*+^`|~"].map((sign) => `ssl-client${sign}verify: SUCCESS`);
  recorder.take();
  await exchange({ port: sluice.httpsPort, tls: { servername: 'open.test' } }, get('/', 'open.test', signs));
  const client = await H2Client.open({ port: sluice.httpsPort, tls: { servername: 'open.test' } });
  client.greet();
  const pseudos = [':method: GET', ':scheme: https', ':authority: open.test', ':path: /'];
  client.send(client.headers(1, [...pseudos, ...signs]));
  await waitUntil(() => client.answer(1).isEnded, 'the answer');
  client.client.destroy();
  const names = recorder.take().map(({ fields }) => fields.map(([name]) => name).join(' '));
  assert.equal(names.length, 2);
  for (const each of names) assert.match(each, /^[A-Za-z\d -]+$/);
});

test('a host that trusts others than the host of the handshake is on another connection: 421', async () => {
  for (const client of [clients.alice, undefined]) {
    const shown = client === undefined ? {} : { client };
    assert.deepEqual(await ask('need', { ...shown, sni: 'open.test' }), [421]);
    assert.deepEqual(await ask('open', { ...shown, sni: 'need.test' }), [421]);
    assert.deepEqual(await ask('other', { ...shown, sni: 'need.test' }), [421]);
    assert.deepEqual(await ask('need', { ...shown, sni: '' }), [421]);
  }
  // These trust alike.
  assert.equal((await ask('maybe', { client: clients.alice, sni: 'need.test' }))[0], 200);
  const tls = { servername: 'need.test', ...clients.alice };
  const client = await H2Client.open({ port: sluice.httpsPort, tls });
  client.greet();
  const streams = ['need', 'open', 'other', 'maybe'].map((host, index) => {
    const lines = [':method: GET', ':scheme: https', `:authority: ${host}.test`, ':path: /'];
    client.send(client.headers(2 * index + 1, lines));
    return 2 * index + 1;
  });
  await waitUntil(() => streams.every((id) => client.answer(id).isEnded), 'the answers');
  assert.deepEqual(
    streams.map((id) => client.answer(id).statuses.at(-1)),
    [200, 421, 421, 200],
  );
  client.client.destroy();
});

test('in the clear nothing can be proved: a redirect, or a refusal, but for challenges', async () => {
  const clear = async (host: string, path: string) => {
    recorder.take();
    const fields = ['ssl-client-verify: SUCCESS'];
    return [(await exchange({ port: sluice.httpPort }, get(path, `${host}.test`, fields))).status, ...heard()];
  };
  assert.deepEqual(await clear('need', '/'), [308]);
  assert.deepEqual(await clear('clear', '/'), [400]);
  assert.deepEqual(await clear('clear', '/.well-known/acme-challenge/x'), [200, none]);
  assert.deepEqual(await clear('clear', '/.well-known/acme-challenge/../../x'), [400]);
  assert.deepEqual(await clear('clear', '/.well-known/acme-challenges'), [400]);
  assert.deepEqual(await clear('clear', '/admin/../.well-known/acme-challenge/x'), [400]);
});

test('only clients of hosts that want one are asked for a certificate', { skip }, async () => {
  const request = get('/', 'open.test', ['Connection: close']);
  for (const version of ['1.2', '1.3'] as const) {
    for (const servername of ['open.test', 'unknown.test', '']) {
      const said = await sClient({ port: sluice.httpsPort, servername, version, request });
      assert.match(said, /No client certificate CA names sent/, `${servername} ${version}`);
      assert.doesNotMatch(said, /Client Certificate Types/);
    }
    const said = await sClient({ port: sluice.httpsPort, servername: 'other.test', version, request });
    assert.match(said, /Acceptable client certificate CA names\s+CN ?= ?Other Root/);
  }
});

test('a certificate is shown in every handshake, for no session keeps the chain that was judged', {
  skip,
}, async () => {
  const port = sluice.httpsPort;
  for (const version of ['1.2', '1.3'] as const) {
    for (const [who, host, status] of [
      ['mallory', 'other', 200],
      ['deeper', 'need', 400],
    ] as const) {
      const session = join(dir, `session-${version}-${who}`);
      const pem = join(dir, `${who}.pem`);
      const common = { port, version, servername: `${host}.test` };
      const request = get('/', `${host}.test`, ['Connection: close']);
      const shown = ['-cert', pem, '-key', pem, '-cert_chain', pem];
      const made = await sClient({ ...common, args: [...shown, '-sess_out', session], request });
      assert.match(made, new RegExp(`HTTP/1.1 ${status}`));
      if (!existsSync(session)) continue;
      const again = await sClient({ ...common, args: ['-sess_in', session], request });
      assert.match(again, /^New/m);
      assert.match(again, /HTTP\/1.1 400/);
    }
    // And a session of a host that asks nobody proves nothing.
    const open = join(dir, `open-${version}`);
    const plain = { port, version, request: get('/', 'open.test', ['Connection: close']) };
    await sClient({ ...plain, servername: 'open.test', args: ['-sess_out', open] });
    const crossed = await sClient({
      ...plain,
      servername: 'need.test',
      args: ['-sess_in', open],
      request: get('/', 'need.test', ['Connection: close']),
    });
    assert.match(crossed, /^New/m);
    assert.match(crossed, /HTTP\/1.1 400/);
  }
});
