import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { everythingTo, ingress } from '../kit/manifests.ts';
import { exchange, get } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { Standalone } from '../kit/sluice.ts';
import { fieldValue } from '../kit/splitter.ts';

let recorder: Recorder;
let sluice: Standalone;

before(async () => {
  recorder = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  sluice = await Standalone.start({
    manifests: [
      ...everythingTo(recorder.port),
      ingress({
        name: 'tls',
        host: 'tls.test',
        paths: { '/': 'recorder' },
        annotations: { 'force-ssl-redirect': 'true' },
      }),
    ],
    args: ['--trusted-proxies', '127.0.0.1/32', '--trusted-proxies', '10.0.0.0/8'],
  });
});

after(async () => {
  await sluice?.stop();
  await recorder?.stop();
});

/** What the backend sees of a request with these fields. */
async function seen(fields: readonly string[], from = '127.0.0.1'): Promise<(name: string) => string | undefined> {
  recorder.take();
  await exchange({ port: sluice.httpPort, from }, get('/', 'gw.test', fields));
  const request = await recorder.request();
  return (name) => fieldValue(request, name);
}

test('a trusted proxy tells who the client is: the rightmost address that is not trusted', async () => {
  const field = await seen([
    'X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.1.1.1',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Port: 443',
  ]);
  assert.equal(field('x-real-ip'), '203.0.113.7');
  assert.equal(field('x-forwarded-for'), '203.0.113.7, 10.1.1.1, 127.0.0.1');
  assert.equal(field('x-forwarded-proto'), 'https');
  assert.equal(field('x-forwarded-port'), '443');
});

test('a trusted proxy that says nothing is the client itself', async () => {
  const field = await seen([]);
  assert.equal(field('x-real-ip'), '127.0.0.1');
  assert.equal(field('x-forwarded-for'), '127.0.0.1');
  assert.equal(field('x-forwarded-proto'), 'http');
});

test('nonsense from a trusted proxy is not passed on', async () => {
  const field = await seen([
    'X-Forwarded-For: <script>',
    'X-Forwarded-Proto: gopher',
    'X-Forwarded-Port: 99999',
    'X-Forwarded-Host: a b',
  ]);
  assert.equal(field('x-real-ip'), '127.0.0.1');
  assert.equal(field('x-forwarded-for'), '127.0.0.1');
  assert.equal(field('x-forwarded-proto'), 'http');
  assert.equal(field('x-forwarded-port'), String(sluice.httpPort));
  assert.equal(field('x-forwarded-host'), 'gw.test');
});

test('what proxies say of the way beyond that comes from trusted ones alone', async () => {
  const names = ['Prefix', 'Ssl', 'Protocol', 'Server', 'Client-Cert'].map((name) => `X-Forwarded-${name}`);
  const fields = names.map((name) => `${name}: //evil.test`);
  const [trusted, untrusted] = [await seen(fields), await seen([...fields, 'X-Other: 1'], '127.0.0.9')];
  for (const name of names) {
    assert.equal(trusted(name.toLowerCase()), '//evil.test', name);
    assert.equal(untrusted(name.toLowerCase()), undefined, name);
  }
  assert.equal(untrusted('x-other'), '1');
});

test('the redirect to https leads to the host that a trusted proxy names', async () => {
  const port = sluice.httpsPort;
  for (const [field, host] of [
    ['X-Forwarded-Host: Shop.example:80', 'shop.example'],
    ['X-Forwarded-Host: shop.example., tls.test', 'shop.example'],
    ['X-Forwarded-Host: [2001:db8::1]:80', '[2001:db8::1]'],
    ['X-Forwarded-Host: a b', 'tls.test'],
    ['X-Other: 1', 'tls.test'],
  ] as const) {
    const reply = await exchange({ port: sluice.httpPort }, get('/x?y=z', 'tls.test:8080', [field]));
    assert.equal(reply.status, 308);
    const location = /^location: (\S+)/im.exec(reply.head)?.[1];
    assert.equal(location, `https://${host}:${port}/x?y=z`, field);
  }
});

test('the redirect to https of a request to no path leads to the host', async () => {
  const reply = await exchange({ port: sluice.httpPort }, 'OPTIONS * HTTP/1.1\r\nHost: tls.test\r\n\r\n', 'OPTIONS');
  assert.equal(/^location: (\S+)/im.exec(reply.head)?.[1], `https://tls.test:${sluice.httpsPort}`);
});

const hasIpv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'));

test('an IPv6 client is served on the same port, and is not trusted for the ranges of IPv4', {
  skip: !hasIpv6 && 'this machine has no ::1',
}, async () => {
  recorder.take();
  await exchange({ port: sluice.httpPort, address: '::1' }, get('/', 'gw.test', ['X-Forwarded-For: 6.6.6.6']));
  const request = await recorder.request();
  assert.equal(fieldValue(request, 'x-forwarded-for'), '::1');
  assert.equal(fieldValue(request, 'x-real-ip'), '::1');
});
