import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { errorPage } from '../../proxy/listen/errorpage.ts';
import {
  clientAddressOf,
  forwardedForOf,
  forwardedHostOf,
  forwardedPortOf,
  forwardedProtoOf,
} from '../../proxy/listen/forwarded.ts';
import { plainAddress, rangeTest } from '../../proxy/match/ranges.ts';
import { testGateway } from '../kit/gateway.ts';
import { get, RawClient } from '../kit/rawclient.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { plainTable } from '../kit/rows.ts';

const opened: { stop(): Promise<unknown> }[] = [];
after(async () => {
  for (const each of opened.reverse()) await each.stop();
});

test('rangeTest covers exactly the ranges that it was given', () => {
  const isTrusted = rangeTest(['10.0.0.0/8', '192.0.2.7', 'fd00::/9', '::ffff:172.16.0.0/108', '2001:db8::1']);
  const inside = ['10.255.0.1', '192.0.2.7', 'fd7f::1', '172.31.255.255', '2001:db8::1', '::ffff:10.1.2.3'];
  const outside = ['11.0.0.1', '192.0.2.8', 'fd80::1', '172.32.0.0', '2001:db8::2', '', 'x', '10.1', '::ffff:11.1.1.1'];
  for (const address of inside) assert.equal(isTrusted(address), true, address);
  for (const address of outside) assert.equal(isTrusted(address), false, address);
  for (const address of inside) assert.equal(isTrusted(address), true, `${address} from the kept answers`);
});

test('a range that cannot be read trusts nobody, and /0 trusts its family only', () => {
  const isTrusted = rangeTest(['10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', 'nonsense', '10.0.0.0/', '']);
  assert.equal(isTrusted('10.0.0.1'), false);
  const everyIpv4 = rangeTest(['0.0.0.0/0']);
  assert.equal(everyIpv4('203.0.113.9'), true);
  assert.equal(everyIpv4('2001:db8::1'), false);
});

test('the client is the rightmost untrusted address', () => {
  const isTrusted = rangeTest(['10.0.0.0/8', 'fd00::/8']);
  const cases: [peer: string, forwardedFor: string, client: string, chain: string][] = [
    ['203.0.113.5', '1.1.1.1', '203.0.113.5', '203.0.113.5'],
    ['10.0.0.1', '', '10.0.0.1', '10.0.0.1'],
    ['10.0.0.1', '198.51.100.1', '198.51.100.1', '198.51.100.1, 10.0.0.1'],
    ['::ffff:10.0.0.1', '1.1.1.1, 198.51.100.1, 10.0.0.2', '198.51.100.1', '198.51.100.1, 10.0.0.2, 10.0.0.1'],
    ['10.0.0.1', '10.0.0.3,10.0.0.2', '10.0.0.3', '10.0.0.3, 10.0.0.2, 10.0.0.1'],
    ['10.0.0.1', '1.1.1.1, unknown, 10.0.0.2', '10.0.0.2', '10.0.0.2, 10.0.0.1'],
    ['10.0.0.1', '198.51.100.1:4711', '198.51.100.1', '198.51.100.1, 10.0.0.1'],
    ['10.0.0.1', '"[2001:db8::7]:443"', '10.0.0.1', '10.0.0.1'],
    ['fd00::1', '[2001:db8::7]:443', '2001:db8::7', '2001:db8::7, fd00::1'],
    ['10.0.0.1', '1.1.1.1,', '10.0.0.1', '10.0.0.1'],
  ];
  for (const [peer, forwardedFor, client, chain] of cases) {
    assert.equal(clientAddressOf(peer, forwardedFor, isTrusted), client, `${forwardedFor} by ${peer}`);
    assert.equal(forwardedForOf(peer, forwardedFor, isTrusted), chain, `${forwardedFor} by ${peer}`);
  }
});

test('proto, host and port of a trusted peer are believed only when they are what they claim', () => {
  assert.equal(forwardedProtoOf('HTTPS, http'), 'https');
  assert.equal(forwardedProtoOf('wss'), null);
  assert.equal(forwardedHostOf('Shop.Example.com:8443, proxy'), 'shop.example.com:8443');
  assert.equal(forwardedHostOf('[2001:db8::1]'), '[2001:db8::1]');
  assert.equal(forwardedHostOf('a b'), null);
  assert.equal(forwardedHostOf('evil\r\nX: y'), null);
  assert.equal(forwardedHostOf('user@host'), null);
  assert.equal(forwardedPortOf('443'), 443);
  assert.equal(forwardedPortOf('65536'), null);
  assert.equal(forwardedPortOf('0'), null);
  assert.equal(plainAddress('fe80::1%eth0'), 'fe80::1');
});

test('an error page names the gateway and the request, escapes what it shows, and follows Accept', () => {
  const facts = { status: 503, sentence: '<b>"a" & b</b>', requestId: "0'1", accept: 'text/html,*/*;q=0.8' };
  const html = errorPage(facts);
  assert.equal(html.contentType, 'text/html; charset=utf-8');
  assert.match(html.body, /503 Service Unavailable/);
  assert.match(html.body, /gateway \(Sluice\)/);
  assert.ok(html.body.includes('&lt;b&gt;&quot;a&quot; &amp; b&lt;/b&gt;'));
  assert.ok(html.body.includes('0&#39;1'));
  const json = errorPage({ ...facts, accept: 'text/html;q=0.5, application/json' });
  assert.equal(json.contentType, 'application/json');
  assert.deepEqual(JSON.parse(json.body), {
    gateway: 'Sluice',
    status: 503,
    title: 'Service Unavailable',
    message: '<b>"a" & b</b>',
    requestId: "0'1",
  });
  for (const accept of ['', '*/*', 'application/json;q=0', 'application/json, text/html', 'application/json;q=x']) {
    assert.equal(errorPage({ ...facts, accept }).contentType, 'text/html; charset=utf-8', accept);
  }
  assert.equal(errorPage({ ...facts, accept: 'application/problem+json' }).contentType, 'application/json');
});

test('each request of a connection brings its own host and id, and the same of everything else', async () => {
  const backend = await Recorder.start({ onRequest: (request) => answer(request, 'ok') });
  const gateway = await testGateway(plainTable([{ address: '127.0.0.1', port: backend.port }]));
  opened.push(backend, gateway);
  const client = await RawClient.open({ port: gateway.port });
  const asked: [host: string, claimed: string][] = [
    ['a', ''],
    ['a', ''],
    ['a', ''],
    ['b', ''],
    ['b', '192.0.2.1'],
    ['b', ''],
    ['a', ''],
  ];
  for (const [i, [host, claimed]] of asked.entries()) {
    client.send(get('/', host, [`X-Request-ID: id-${i}`, ...(claimed === '' ? [] : [`X-Forwarded-For: ${claimed}`])]));
    assert.equal((await client.response(i)).status, 200);
    const claim = claimed === '' ? [] : [`x-original-forwarded-for: ${claimed}`];
    assert.deepEqual(
      backend.requests[i]?.fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort(),
      [
        `host: ${host}`,
        'x-forwarded-for: 127.0.0.1',
        `x-forwarded-host: ${host}`,
        `x-forwarded-port: ${gateway.port}`,
        'x-forwarded-proto: http',
        'x-forwarded-scheme: http',
        'x-real-ip: 127.0.0.1',
        `x-request-id: id-${i}`,
        'x-scheme: http',
        ...claim,
      ].sort(),
    );
  }
  client.destroy();
});
