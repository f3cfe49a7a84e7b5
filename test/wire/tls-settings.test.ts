import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import { after, before, test } from 'node:test';
import { type ConnectionOptions, connect } from 'node:tls';
import { certificateFor } from '../kit/certificate.ts';
import { everythingTo, ingress, type Manifest, tlsSecret } from '../kit/manifests.ts';
import { exchange } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { within } from '../kit/wait.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({ manifests: everythingTo(recorder.port), args: ['--configmap', 'sluice/config'] });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

const config = (data: Record<string, string>): Manifest[] => [
  ...everythingTo(recorder.port),
  { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'config', namespace: 'sluice' }, data },
];

/** Version, suite and group of a handshake, or that there is none. */
async function spoken(options: ConnectionOptions = {}): Promise<string> {
  const target = { port: sluice.httpsPort, host: '127.0.0.1', servername: 'gw.test', rejectUnauthorized: false };
  const socket = connect({ ...target, ...options });
  try {
    await within(once(socket, 'secureConnect'), 'the handshake');
    const group = socket.getEphemeralKeyInfo() as { name?: string } | null;
    return [socket.getProtocol(), socket.getCipher().name, group?.name].join(' ');
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  } finally {
    socket.destroy();
  }
}

test('versions, suites and groups are those of the ConfigMap, from the next handshake on', async () => {
  assert.match(await spoken(), /^TLSv1.3 TLS_\w+ X25519MLKEM768$/);
  await sluice.apply(config({ 'ssl-protocols': 'TLSv1.2', 'ssl-ciphers': 'ECDHE-ECDSA-CHACHA20-POLY1305' }));
  assert.match(await spoken(), /^TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305 /);
  assert.match(await spoken({ minVersion: 'TLSv1.3' }), /^ERR_SSL_/);
  assert.match(await spoken({ ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' }), /^ERR_SSL_/);
  await sluice.apply(config({ 'ssl-protocols': 'TLSv1.3', 'ssl-ecdh-curve': 'secp384r1:X25519' }));
  assert.match(await spoken({ ecdhCurve: 'X25519' }), /^TLSv1.3 \w+ X25519$/);
  assert.match(await spoken({ maxVersion: 'TLSv1.2' }), /^ERR_SSL_/);
  assert.match(await spoken({ ecdhCurve: 'prime256v1' }), /^ERR_SSL_/);
});

test('HTTP/2 is spoken by ALPN and in the clear, within bounds, unless the ConfigMap says otherwise', async () => {
  const alpn = async () => {
    const target = { port: sluice.httpsPort, host: '127.0.0.1', servername: 'gw.test', rejectUnauthorized: false };
    const socket = connect({ ...target, ALPNProtocols: ['h2', 'http/1.1'] });
    await within(once(socket, 'secureConnect'), 'the handshake');
    const { alpnProtocol } = socket;
    socket.destroy();
    return alpnProtocol;
  };
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  await sluice.apply(config({ 'use-http2': 'false' }));
  assert.equal(await alpn(), 'http/1.1');
  assert.equal((await exchange({ port: sluice.httpPort }, preface)).status, 501);
  await sluice.apply(config({}));
  assert.equal(await alpn(), 'h2');
  const session = http2.connect(`http://127.0.0.1:${sluice.httpPort}`);
  try {
    const [settings] = (await within(once(session, 'remoteSettings'), 'the settings')) as [http2.Settings];
    const { maxConcurrentStreams, maxHeaderListSize = 0, enableConnectProtocol } = settings;
    assert.deepEqual(
      { maxConcurrentStreams, enableConnectProtocol },
      { maxConcurrentStreams: 100, enableConnectProtocol: true },
    );
    assert.ok(maxHeaderListSize > 0 && maxHeaderListSize <= 262_144, `${maxHeaderListSize} bytes of fields`);
  } finally {
    session.destroy();
  }
});

test('a client that is asked for a share of another group has HTTP/2, too, on a host with a certificate of its own', async () => {
  const own = ingress({ name: 'own', host: 'own.test', paths: { '/': 'recorder' }, tlsSecret: 'own' });
  const secret = tlsSecret('own', await certificateFor(['own.test']));
  await sluice.apply([...config({ 'ssl-ecdh-curve': 'prime256v1' }), own, secret]);
  const target = { port: sluice.httpsPort, host: '127.0.0.1', servername: 'own.test', rejectUnauthorized: false };
  for (const [offered, chosen] of [
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1'], 'http/1.1'],
  ] as const) {
    // Its first ClientHello has shares of X25519 and of X25519MLKEM768 alone.
    const socket = connect({ ...target, ALPNProtocols: [...offered] });
    await within(once(socket, 'secureConnect'), 'the handshake');
    const group = socket.getEphemeralKeyInfo() as { name?: string } | null;
    assert.deepEqual([socket.alpnProtocol, group?.name], [chosen, 'prime256v1']);
    socket.destroy();
  }
  await assert.rejects(
    once(connect({ ...target, ALPNProtocols: ['spdy/1'] }), 'secureConnect'),
    /alpn|protocol|closed/i,
  );
});

test('a host may have suites of its own', async () => {
  const host = (name: string, annotations: Record<string, string>) =>
    ingress({ name, host: `${name}.test`, paths: { '/': 'recorder' }, annotations });
  const suite = 'ECDHE-ECDSA-AES256-GCM-SHA384';
  await sluice.apply([...config({}), host('strict', { 'ssl-ciphers': suite }), host('plain', {})]);
  const old = { maxVersion: 'TLSv1.2' } as const;
  assert.match(await spoken({ ...old, servername: 'strict.test' }), /^TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384 /);
  const other = { ...old, ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' };
  assert.match(await spoken({ ...other, servername: 'strict.test' }), /^ERR_SSL_/);
  assert.match(await spoken({ ...other, servername: 'plain.test' }), /^TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 /);
  assert.match(await spoken({ servername: 'strict.test' }), /^TLSv1.3 /);
});

test('sessions are resumed, unless the ConfigMap says otherwise', async () => {
  for (const tickets of ['true', 'false'] as const) {
    await sluice.apply(config({ 'ssl-session-tickets': tickets }));
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const target = { port: sluice.httpsPort, host: '127.0.0.1', servername: 'gw.test', rejectUnauthorized: false };
      const first = connect({ ...target, maxVersion });
      const [session] = (await within(once(first, 'session'), 'a session')) as [Buffer];
      first.destroy();
      const second = connect({ ...target, maxVersion, session });
      await within(once(second, 'secureConnect'), 'the handshake');
      assert.equal(second.isSessionReused(), tickets === 'true', `${tickets} ${maxVersion}`);
      second.destroy();
    }
  }
});

test('no session goes on with a suite that the ConfigMap has no more', async () => {
  const [before, after] = ['ECDHE-ECDSA-AES128-GCM-SHA256', 'ECDHE-ECDSA-AES256-GCM-SHA384'];
  const target = { port: sluice.httpsPort, host: '127.0.0.1', servername: 'gw.test', rejectUnauthorized: false };
  for (const listed of [`${before}:${after}`, undefined]) {
    await sluice.apply(config(listed === undefined ? {} : { 'ssl-ciphers': listed }));
    const first = connect({ ...target, maxVersion: 'TLSv1.2', ciphers: before });
    const [session] = (await within(once(first, 'session'), 'a session')) as [Buffer];
    first.destroy();
    await sluice.apply(config({ 'ssl-ciphers': after }));
    const second = connect({ ...target, maxVersion: 'TLSv1.2', ciphers: `${before}:${after}`, session });
    await within(once(second, 'secureConnect'), 'the handshake');
    assert.deepEqual([second.isSessionReused(), second.getCipher().name], [false, after]);
    second.destroy();
  }
});
