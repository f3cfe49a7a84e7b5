import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, service, tlsSecret } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const manifests = [
  ingressClass(),
  ingress({ name: 'a', host: 'a.test', paths: { '/': 's' }, tlsSecret: 'a' }),
  ...service('s', [1]),
  tlsSecret('a', await certificateFor(['a.test'])),
];
/** The beginning of a record that is longer. */
const halfHello = Buffer.from('160301020001000001fc0303', 'hex');

async function failures(sluice: Standalone): Promise<Record<string, number>> {
  const found = (await sluice.admin('/metrics')).matchAll(
    /^sluice_tls_handshakes_failed_total\{reason="([^"]+)"\} (\d+)$/gm,
  );
  return Object.fromEntries([...found].map(([, reason, count]) => [reason, Number(count)]));
}

/** Until one more has failed for a reason; nothing else may be counted. */
async function failsBy(sluice: Standalone, reason: string, act: () => unknown): Promise<void> {
  const before = await failures(sluice);
  await act();
  const now = await eventually(async () => {
    const now = await failures(sluice);
    return Object.entries(now).some(([name, count]) => count > (before[name] ?? 0)) ? now : undefined;
  }, `a failure by ${reason}`);
  assert.deepEqual(now, { ...before, [reason]: (before[reason] ?? 0) + 1 });
}

async function opened(sluice: Standalone): Promise<Socket> {
  const socket = connect(sluice.httpsPort, '127.0.0.1').on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

test('clients that get no TLS connection are told by what came in the way', async () => {
  const sluice = await Standalone.start({ manifests, args: ['--limit-handshake-ms', '600000'] });
  const refused = (options: ConnectionOptions) => () =>
    new Promise<void>((resolve, reject) => {
      connectTls({
        port: sluice.httpsPort,
        host: '127.0.0.1',
        servername: 'a.test',
        rejectUnauthorized: false,
        ...options,
      })
        .on('error', () => resolve())
        .on('secureConnect', () => reject(new Error('connected')));
    });
  try {
    await failsBy(
      sluice,
      'version',
      refused({ minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' }),
    );
    await failsBy(sluice, 'cipher', refused({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }));
    await failsBy(sluice, 'cipher', refused({ ecdhCurve: 'ffdhe8192', minVersion: 'TLSv1.3' }));
    await failsBy(sluice, 'protocol', refused({ ALPNProtocols: ['smtp'] }));
    await failsBy(sluice, 'no-tls', async () => (await opened(sluice)).write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n'));
    await failsBy(sluice, 'left', async () => (await opened(sluice)).end(halfHello));
    await failsBy(sluice, 'left', async () => {
      const socket = await opened(sluice);
      await new Promise<void>((resolve) => socket.write(halfHello, () => resolve()));
      // Who is gone before it is seen is not told. The worker takes them in order, and reads in between.
      await exchange({ port: sluice.httpsPort, tls: { servername: 'a.test' } }, get('/', 'a.test'));
      socket.resetAndDestroy();
    });
    await failsBy(sluice, 'certificate', () => {
      const args = [
        's_client',
        '-verify_return_error',
        '-connect',
        `127.0.0.1:${sluice.httpsPort}`,
        '-servername',
        'a.test',
      ];
      return new Promise((resolve) => execFile('openssl', args, resolve).stdin?.end());
    });
    // Who only looks whether the port is open is no failure: the next one is counted alone.
    await failsBy(sluice, 'left', async () => {
      (await opened(sluice)).destroy();
      (await opened(sluice)).resetAndDestroy();
      (await opened(sluice)).end(halfHello);
    });
  } finally {
    await sluice.stop();
  }
});

test('a handshake that takes too long is told as that', async () => {
  const sluice = await Standalone.start({ manifests, args: ['--limit-handshake-ms', '100'] });
  try {
    await failsBy(sluice, 'timeout', async () => (await opened(sluice)).write(halfHello));
  } finally {
    await sluice.stop();
  }
});

test('a balancer that looks whether the port is open, and says for whom, is no failure', async () => {
  const metadata = { name: 'config', namespace: 'default' };
  const configMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { 'use-proxy-protocol': 'true' } };
  const args = ['--configmap', 'default/config', '--limit-handshake-ms', '600000'];
  const sluice = await Standalone.start({ manifests: [...manifests, configMap], args });
  const header = Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n');
  try {
    await failsBy(sluice, 'left', async () => {
      const probe = (await opened(sluice)).end(header).resume();
      await once(probe, 'close');
      (await opened(sluice)).end(Buffer.concat([header, halfHello]));
    });
  } finally {
    await sluice.stop();
  }
});
