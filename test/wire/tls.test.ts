import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { after, before, test } from 'node:test';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { WebSocket, WebSocketServer } from 'ws';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { download, startFlowBackend, upload } from '../kit/flow.ts';
import { testGateway } from '../kit/gateway.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { certificateRow, plainServerTls, plainTable, row } from '../kit/rows.ts';
import { SlowHandshake } from '../kit/slowhandshake.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';
import { within } from '../kit/wait.ts';

let recorder: Recorder;
let flow: Server;
let sockets: WebSocketServer;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  flow = await startFlowBackend();
  sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  sockets.on('connection', (peer) => peer.on('message', (data, isBinary) => peer.send(data, { binary: isBinary })));
  await once(sockets, 'listening');
  sluice = await Standalone.start({
    manifests: [
      ingressClass(),
      ingress({ name: 'exact', host: 'shop.tls.test', paths: { '/': 'recorder' }, tlsSecret: 'exact' }),
      ingress({ name: 'wild', host: '*.tls.test', paths: { '/': 'recorder' }, tlsSecret: 'wild' }),
      ingress({ name: 'plain', host: 'plain.test', paths: { '/': 'recorder' } }),
      ingress({
        name: 'flow',
        host: 'flow.test',
        paths: { '/': 'flow', '/ws': 'sockets' },
        annotations: { 'proxy-body-size': '0' },
      }),
      ...service('flow', [(flow.address() as AddressInfo).port]),
      ...service('sockets', [(sockets.address() as AddressInfo).port]),
      tlsSecret('exact', await certificateFor(['shop.tls.test'])),
      tlsSecret('wild', await certificateFor(['*.tls.test'])),
      ...service('recorder', [recorder.port]),
    ],
    workers: 4,
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
  for (const peer of sockets.clients) peer.terminate();
  sockets.close();
  flow?.close();
});

/** Names in the certificate that a client with this SNI is shown. */
async function namesFor(servername: string, { httpsPort: port } = sluice): Promise<string> {
  const client = await RawClient.open({ port, tls: { servername } });
  const names = (client.socket as TLSSocket).getPeerCertificate().subjectaltname ?? '';
  client.destroy();
  return names;
}

test('the certificate follows the server name: exact, then wildcard of one label, then the default', async () => {
  assert.equal(await namesFor('shop.tls.test'), 'DNS:shop.tls.test');
  assert.equal(await namesFor('other.tls.test'), 'DNS:*.tls.test');
  assert.equal(await namesFor('SHOP.tls.test'), 'DNS:shop.tls.test');
  assert.equal(await namesFor('shop.tls.test.'), 'DNS:shop.tls.test');
  for (const name of ['a.b.tls.test', 'tls.test', 'unknown.test', ''])
    assert.doesNotMatch(await namesFor(name), /tls\.test/);
});

test('a chain that is longer than clients take is not served, and its host has the default certificate', async () => {
  const [pair, other] = [await certificateFor(['fits.test', 'long.test']), await certificateFor(['other.test'])];
  const derBytes = ({ cert }: CertificatePair) => new X509Certificate(cert).raw.length;
  const room = Math.floor((102_400 - 4 - derBytes(pair) - 5) / (derBytes(other) + 5));
  const chained = (count: number) => ({ ...pair, cert: [pair.cert, ...Array(count).fill(other.cert)].join('\n') });
  const host = (name: string) => ingress({ name, host: `${name}.test`, paths: { '/': 'recorder' }, tlsSecret: name });
  const own = await Standalone.start({
    manifests: [
      ingressClass(),
      ...service('recorder', [recorder.port]),
      ...[host('fits'), tlsSecret('fits', chained(room)), host('long'), tlsSecret('long', chained(room + 1))],
    ],
  });
  try {
    assert.match(await namesFor('fits.test', own), /fits\.test/);
    assert.match(await namesFor('long.test', own), /default/);
    await own.process.printed(/default\/long holds \d+ certificates in tls\.crt, a longer chain/);
  } finally {
    await own.stop();
  }
});

test('TLS 1.2 and 1.3 are spoken, and nothing older', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const tls = { servername: 'shop.tls.test', minVersion: version, maxVersion: version };
    const response = await exchange({ port: sluice.httpsPort, tls }, get('/', 'shop.tls.test'));
    assert.equal(response.body.toString(), 'ok');
  }
  const old = {
    servername: 'shop.tls.test',
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL@SECLEVEL=0',
  } as const;
  await assert.rejects(RawClient.open({ port: sluice.httpsPort, tls: old }), /protocol|closed|ECONNRESET/i);
});

test('a client that negotiates anew is refused: its handshakes would cost us more than it', async () => {
  const client = await RawClient.open({
    port: sluice.httpsPort,
    tls: { servername: 'shop.tls.test', maxVersion: 'TLSv1.2' },
  });
  const refused = once(client.socket, 'error') as Promise<[NodeJS.ErrnoException]>;
  (client.socket as TLSSocket).renegotiate({}, () => {});
  const [error] = await within(refused, 'the refusal');
  assert.equal(error.code, 'ERR_SSL_NO_RENEGOTIATION');
  client.destroy();
});

test('HTTP/1.1 is chosen by ALPN, or 1.0, and a client that offers only unknown protocols is refused', async () => {
  for (const offered of [['h3', 'http/1.0', 'http/1.1'], ['http/1.0']]) {
    const client = await RawClient.open({
      port: sluice.httpsPort,
      tls: { servername: 'shop.tls.test', ALPNProtocols: offered },
    });
    assert.equal((client.socket as TLSSocket).alpnProtocol, offered.at(-1));
    client.send('GET / HTTP/1.0\r\nHost: shop.tls.test\r\n\r\n');
    assert.equal((await client.response()).status, 200);
    client.destroy();
  }
  const unknown = { servername: 'shop.tls.test', ALPNProtocols: ['acme-tls/1'] };
  await assert.rejects(RawClient.open({ port: sluice.httpsPort, tls: unknown }), /alpn|protocol|closed/i);
});

test('http of a host with TLS redirects to https with 308, and of a host without TLS is served', async () => {
  const redirect = await exchange({ port: sluice.httpPort }, get('/a%20b?c=d', 'shop.tls.test'));
  assert.equal(redirect.status, 308);
  assert.equal(fieldValue(redirect, 'location'), `https://shop.tls.test:${sluice.httpsPort}/a%20b?c=d`);
  assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'plain.test'))).status, 200);
});

test('the operator chooses the status of the redirect, and what browsers are told of TLS', async () => {
  const manifests = [
    ingressClass(),
    ingress({ name: 'exact', host: 'shop.tls.test', paths: { '/': 'recorder' }, tlsSecret: 'exact' }),
    ...service('recorder', [recorder.port]),
    tlsSecret('exact', await certificateFor(['shop.tls.test'])),
  ];
  const args = ['--http-redirect-code', '301', '--hsts', 'max-age=60'];
  const other = await Standalone.start({ manifests, args });
  try {
    const redirect = await exchange({ port: other.httpPort }, get('/', 'shop.tls.test'));
    assert.equal(redirect.status, 301);
    const tls = { servername: 'shop.tls.test' };
    const response = await exchange({ port: other.httpsPort, tls }, get('/', 'shop.tls.test'));
    assert.equal(fieldValue(response, 'strict-transport-security'), 'max-age=60');
  } finally {
    await other.stop();
  }
});

test('the backend hears that the client came by TLS, and the answer has no HSTS that nobody asked for', async () => {
  recorder.take();
  const tls = { servername: 'shop.tls.test' };
  const response = await exchange({ port: sluice.httpsPort, tls }, get('/', 'shop.tls.test'));
  assert.equal(fieldValue(response, 'strict-transport-security'), undefined);
  const seen = await recorder.request();
  assert.equal(fieldValue(seen, 'x-forwarded-proto'), 'https');
  assert.equal(fieldValue(seen, 'x-forwarded-port'), String(sluice.httpsPort));
});

test('a session is resumed by whichever worker takes the next connection', async () => {
  const options: ConnectionOptions = {
    port: sluice.httpsPort,
    host: '127.0.0.1',
    servername: 'shop.tls.test',
    rejectUnauthorized: false,
    maxVersion: 'TLSv1.2',
  };
  const first = connect(options);
  const [session] = (await within(once(first, 'session'), 'a session ticket')) as [Buffer];
  first.destroy();
  for (let i = 0; i < 16; i++) {
    const next = connect({ ...options, session });
    await within(once(next, 'secureConnect'), 'the handshake');
    assert.equal(next.isSessionReused(), true, `connection ${i}`);
    next.destroy();
  }
});

test('a client that ends inside the handshake, or in an answer, hurts nobody', async () => {
  for (let i = 0; i < 20; i++) {
    const socket = connect({
      port: sluice.httpsPort,
      host: '127.0.0.1',
      servername: 'shop.tls.test',
      rejectUnauthorized: false,
    });
    socket.on('error', () => undefined);
    if (i % 2 === 0) setImmediate(() => socket.destroy());
    else socket.once('secureConnect', () => socket.write(get('/', 'shop.tls.test'), () => socket.destroy()));
    await within(once(socket, 'close'), 'the client to be gone');
  }
  const tls = { servername: 'shop.tls.test' };
  assert.equal((await exchange({ port: sluice.httpsPort, tls }, get('/', 'shop.tls.test'))).status, 200);
});

test('who finishes a handshake when the gateway is ending is told to go, whatever is spoken', async () => {
  const rows = [
    ...plainTable([]),
    row('listener', {
      id: 'https',
      protocol: 'https',
      http2: true,
      tls: { ...plainServerTls, defaultCertificateId: 'ours' },
    }),
    certificateRow('ours', ['a.test'], await certificateFor(['a.test'])),
  ];
  const endless = { idleMs: 0, settingsMs: 3_600_000, lingerMs: 1 };
  for (const protocol of ['http/1.1', 'h2']) {
    const { gateway, live } = await testGateway(rows, endless);
    const listener = live.listeners.get('https');
    assert.ok(listener);
    const { port } = await gateway.openListener(listener, 0);
    const { socket, release } = new SlowHandshake(port);
    const client = await RawClient.open({ port, tls: { socket, servername: 'a.test', ALPNProtocols: [protocol] } });
    // Nothing but its clients ends it.
    const drained = gateway.drain(3_600_000);
    release();
    await client.closed();
    client.destroy();
    await within(drained, 'the gateway to end');
  }
});

test('large bodies pass whole through TLS, both ways', async () => {
  const target = { port: sluice.httpsPort, host: 'flow.test', isTls: true };
  const bytes = 64 << 20;
  assert.deepEqual(await download(target, bytes), { bytes, isIntact: true });
  assert.equal(await upload(target, bytes), bytes);
});

test('a WebSocket works through TLS', async () => {
  const options = { headers: { host: 'flow.test' }, servername: 'flow.test', rejectUnauthorized: false };
  const peer = new WebSocket(`wss://127.0.0.1:${sluice.httpsPort}/ws`, options);
  await within(once(peer, 'open'), 'the WebSocket to open');
  peer.send(Buffer.alloc(500_000, 3));
  const [data] = (await within(once(peer, 'message'), 'the echo')) as [Buffer];
  assert.ok(data.equals(Buffer.alloc(500_000, 3)));
  peer.close();
  await within(once(peer, 'close'), 'the WebSocket to close');
});
