import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { everythingTo } from '../kit/manifests.ts';
import { exchange, get, RawClient } from '../kit/rawclient.ts';
import { Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start();
  sluice = await Standalone.start({
    manifests: everythingTo(recorder.port),
    // A cut ClientHello is waited for as long as that; nobody wants to see it.
    args: ['--limit-handshake-ms', '1000'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

const hello = Buffer.from('16030100a5010000a10303', 'hex');

/** Things that arrive on every port that the Internet can reach. */
const garbage: readonly (readonly [what: string, bytes: Buffer])[] = [
  ['nothing at all', Buffer.alloc(0)],
  ['one zero', Buffer.alloc(1)],
  ['64 KiB of zeros', Buffer.alloc(65_536)],
  ['64 KiB of noise', randomBytes(65_536)],
  ['a million line ends', Buffer.alloc(1_000_000, '\r\n')],
  ['a cut ClientHello', hello],
  ['a ClientHello full of noise', Buffer.concat([hello, randomBytes(4096)])],
  ['an HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0')],
  ['PROXY v2', Buffer.from('0d0a0d0a000d0a515549540a2111000c7f0000017f00000100500050', 'hex')],
  ['SSH', Buffer.from('SSH-2.0-OpenSSH_9.6\r\n')],
  ['SMTP', Buffer.from('EHLO example.com\r\nMAIL FROM:<a@b>\r\n')],
  ['RDP', Buffer.from('0300002f2ae00000000000436f6f6b69653a206d737473686173683d', 'hex')],
  ['SMB', Buffer.from('00000085ff534d4272000000001853c8', 'hex')],
  ['half a request', Buffer.from('GET / HTT')],
  ['a request with a NUL', Buffer.from('GET /\0 HTTP/1.1\r\nHost: gw.test\r\n\r\n')],
];

for (const port of ['http', 'https', 'admin'] as const) {
  for (const [what, bytes] of garbage) {
    test(`${what} on the ${port} port ends that connection and hurts nothing else`, async () => {
      const number = { http: sluice.httpPort, https: sluice.httpsPort, admin: sluice.adminPort }[port];
      const client = await RawClient.open({ port: number });
      client.send(bytes);
      client.end();
      await client.closed();
      client.destroy();
      assert.equal((await exchange({ port: sluice.httpPort }, get('/', 'gw.test'))).status, 200);
      assert.equal(
        (await exchange({ port: sluice.httpsPort, tls: { servername: 'gw.test' } }, get('/', 'gw.test'))).status,
        200,
      );
      assert.match(await sluice.admin('/healthz'), /./);
    });
  }
}

test('noise after a TLS handshake ends that connection only', async () => {
  const client = await RawClient.open({ port: sluice.httpsPort, tls: { servername: 'gw.test' } });
  client.send(randomBytes(10_000));
  await client.closed();
  client.destroy();
  const response = await exchange({ port: sluice.httpsPort, tls: { servername: 'gw.test' } }, get('/', 'gw.test'));
  assert.equal(response.status, 200);
});
