import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import type { Manifest } from '../kit/apiserver.ts';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { fingerprintOf } from '../kit/handshake.ts';
import { bgpPeer, installOwnKinds } from '../kit/ownkinds.ts';
import { exchange, get as requestOf } from '../kit/rawclient.ts';
import { RedisServer, skipWithoutRedis } from '../kit/redis.ts';
import { filesIn, leaks, type Trace, traceOfKey, traceOfText } from '../kit/traces.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, ingress, page, service, sharedToken, skip as skipRig, slice, tlsSecret } from './clusterrig.ts';

const skip = skipRig || skipWithoutRedis();
const secretWord = (name: string) => `${name}-${randomBytes(12).toString('hex')}`;

function opaque(name: string, stringData: Record<string, string>): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'Opaque', stringData };
}

/** Everything that a process has that nobody else may know goes in; all that comes out is searched for it. */
describe('secrets stay where they belong', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let redis: RedisServer;
  const traces: Trace[] = [];
  const words = {
    redis: secretWord('redis'),
    wrongRedis: secretWord('wrongredis'),
    htpasswd: secretWord('htpasswd'),
    bgp: secretWord('bgp'),
    badBgp: `${secretWord('badbgp')} with spaces`,
    notAKey: secretWord('notakey'),
    authorization: secretWord('authorization'),
    cookie: secretWord('cookie'),
    stranger: secretWord('stranger'),
  };

  before(async () => {
    redis = await RedisServer.start(['--requirepass', words.redis]);
    rig = await ClusterRig.start({ backends: ['one'], controllers: 0, proxies: 0, workers: 1 });
    await installOwnKinds(rig.api);
    const pairs: Record<string, CertificatePair> = {};
    for (const name of ['shop', 'other', 'client']) {
      const pair = await certificateFor([`${name}.test`]);
      pairs[name] = pair;
      traces.push(traceOfKey(`the key of ${name}`, pair.key));
    }
    const { shop, other, client } = pairs as Record<'shop' | 'other' | 'client', CertificatePair>;
    const secure = (name: string, annotations: Record<string, string> = {}) =>
      ingress(name, `${name}.test`, 'web', annotations, [{ hosts: [`${name}.test`], secretName: name }]);
    await rig.api.apply(
      ...[service('web'), slice('web', rig.portOf(0))],
      ...[tlsSecret('shop', shop), secure('shop')],
      // The key of somebody else, and no key at all: both are problems, and problems have texts.
      ...[tlsSecret('mixed', { cert: shop.cert, key: other.key }), secure('mixed')],
      ...[tlsSecret('broken', { cert: shop.cert, key: words.notAKey }), secure('broken')],
      ...[opaque('users', { auth: `somebody:${words.htpasswd}` })],
      ingress('basic', 'basic.test', 'web', {
        'nginx.ingress.kubernetes.io/auth-type': 'basic',
        'nginx.ingress.kubernetes.io/auth-secret': 'users',
      }),
      {
        ...tlsSecret('to-backend', client),
        stringData: { 'tls.crt': client.cert, 'tls.key': client.key, 'ca.crt': client.cert },
      },
      ingress('backend', 'backend.test', 'web', {
        'nginx.ingress.kubernetes.io/backend-protocol': 'HTTPS',
        'nginx.ingress.kubernetes.io/proxy-ssl-secret': 'default/to-backend',
        'nginx.ingress.kubernetes.io/proxy-ssl-verify': 'on',
        // The backend speaks no TLS, and says nothing.
        'nginx.ingress.kubernetes.io/proxy-connect-timeout': '1',
        'nginx.ingress.kubernetes.io/proxy-next-upstream': 'off',
      }),
      ingress('denied', 'denied.test', 'web', { 'nginx.ingress.kubernetes.io/whitelist-source-range': '192.0.2.1' }),
      ...[opaque('router', { password: words.bgp }), opaque('bad-router', { password: words.badBgp })],
      bgpPeer('good', {
        peerASN: 64_512,
        localASN: 64_513,
        address: '192.0.2.1',
        passwordSecretRef: { name: 'router' },
      }),
      bgpPeer('bad', {
        peerASN: 64_512,
        localASN: 64_513,
        address: '192.0.2.2',
        passwordSecretRef: { name: 'bad-router' },
      }),
    );
    rig.controllers.push(await rig.startController(rig.api.url, ['--edge', '--log-level', 'debug']));
    await rig.keepAuthority();
    writeFileSync(rig.file('redis.password'), words.redis);
    writeFileSync(rig.file('stranger.token'), words.stranger);
    const url = `redis://127.0.0.1:${redis.port}`;
    const observed = ['--access-log', 'stdout', '--log-level', 'debug'];
    const filed = ['--redis-url', url, '--redis-password-file', rig.file('redis.password')];
    const wrong = ['--redis-url', url.replace('//', `//:${words.wrongRedis}@`)];
    rig.proxies.push(await rig.startProxy('proxy-1', 1, 'shared', [...observed, ...filed]));
    rig.proxies.push(await rig.startProxy('proxy-2', 1, 'sluice-proxy', [...observed, ...wrong]));
    rig.startProxyProcess('proxy-3', 'stranger');
    await rig.allAnswer('shop.test', 308);

    for (const [name, word] of Object.entries(words)) traces.push(traceOfText(`the word ${name}`, word));
    traces.push(traceOfText('the token of proxies', sharedToken));
    traces.push(traceOfText('the token of an account', readFileSync(rig.file('sluice-proxy.token'), 'utf8')));
    for (const { metadata, data } of await kept('secrets')) {
      const key = data?.['ca.key'] ?? data?.['tls.key'];
      if (metadata.name === 'sluice-authority' && key !== undefined) {
        traces.push(traceOfKey('the key of the authority', Buffer.from(key, 'base64').toString()));
      }
    }
    assert.ok(traces.some(({ name }) => name.includes('authority')));
  });

  after(async () => {
    await rig?.stop();
    await redis?.kill();
  });

  const Items = z.object({
    items: z.array(
      z.looseObject({ metadata: z.object({ name: z.string() }), data: z.record(z.string(), z.string()).optional() }),
    ),
  });

  async function kept(kind: string, api = '/api/v1') {
    return Items.parse((await rig.api.call('GET', `${api}/namespaces/default/${kind}`)).body).items;
  }

  /** Those of the proxies are shown by the controller, too. */
  async function pagesOf(port: number): Promise<string[]> {
    const own = (await page(port, '/')).split('\n').filter((line) => line.startsWith('/'));
    return own.includes('/proxies') ? [...own, '/proxies/proxy-1/tables', '/proxies/proxy-2/problems'] : own;
  }

  const admins = () => [
    ...rig.controllers.map(({ admin }, index) => ({ name: `controller ${index}`, admin })),
    ...rig.proxies.map(({ admin }, index) => ({ name: `proxy ${index}`, admin })),
  ];

  test('logs, pages, figures, Events, statuses, answers and files hold none', async () => {
    const places = new Map<string, Buffer>();
    const keep = (place: string, text: string) => places.set(place, Buffer.from(text));
    const fields = [`Authorization: Basic ${words.authorization}`, `Cookie: session=${words.cookie}`];
    for (const { http, https } of rig.proxies) {
      for (const host of ['shop', 'mixed', 'basic', 'backend', 'denied', 'nobody'].map((name) => `${name}.test`)) {
        const tls = { servername: host };
        for (const [way, to] of Object.entries({ http: { port: http }, https: { port: https, tls } })) {
          const { head, body } = await exchange(to, requestOf('/', host, [...fields, 'Accept: text/html']));
          keep(`the answer of ${host} by ${way}`, head + body.toString('latin1'));
        }
      }
      const bad = await exchange(
        { port: http },
        `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n${fields.join('\r\n')}\r\n\r\n`,
      );
      keep('the answer to a bad request', bad.head + bad.body.toString('latin1'));
      await fingerprintOf(https, 'broken.test');
    }
    await eventually(async () => {
      const found = await kept('events', '/apis/events.k8s.io/v1');
      return (
        ['mixed', 'broken', 'bad'].every((name) => JSON.stringify(found).includes(`"name":"${name}"`)) || undefined
      );
    }, 'Events of what is wrong');
    for (const { name, admin } of admins()) {
      const paths = await pagesOf(admin);
      assert.ok(paths.length >= 4, `${name} lists ${paths.join(' ')}`);
      for (const path of paths) keep(`${path} of ${name}`, await page(admin, path));
    }
    keep('Events', JSON.stringify(await kept('events', '/apis/events.k8s.io/v1')));
    keep('Ingresses', JSON.stringify(await kept('ingresses', '/apis/networking.k8s.io/v1')));
    keep('peers', JSON.stringify((await rig.api.call('GET', '/apis/sluice.dev/v1/bgppeers')).body));
    keep('Leases', JSON.stringify(await kept('leases', '/apis/coordination.k8s.io/v1')));
    keep('what a stranger is told', await refusalOfStranger());
    rig.processes.forEach((process, index) => {
      keep(`stdout of process ${index}`, process.stdout);
      keep(`stderr of process ${index}`, process.stderr);
    });
    for (const name of ['proxy-1', 'proxy-2']) {
      const files = filesIn(rig.file(name));
      assert.ok(files.size > 0, `${name} keeps its tables`);
      for (const [file, bytes] of files) places.set(file, bytes);
    }
    // The search finds what is there.
    const control = new Map([['the API server', Buffer.from(JSON.stringify(await kept('secrets')))]]);
    const known = leaks(traces, control).length;
    assert.ok(known >= 8, `only ${known} secrets are found where they are kept`);
    assert.ok([...places.values()].some((bytes) => bytes.includes('basic.test')));
    assert.deepEqual(leaks(traces, places), []);
  });

  async function refusalOfStranger(): Promise<string> {
    const [process] = rig.processes.slice(-1);
    await process?.printed(/token|401/);
    return (process?.stdout ?? '') + (process?.stderr ?? '');
  }

  test('the admin ports only show: whatever the method, nothing but reading is done', async () => {
    for (const { name, admin } of admins()) {
      for (const path of [...(await pagesOf(admin)), '/', '/no-such-page']) {
        for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'PURGE']) {
          const text = `${method} ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}`;
          const { status, head } = await exchange({ port: admin }, text, method);
          assert.equal(status, 405, `${method} ${path} of ${name}`);
          assert.match(head, /^allow: GET, HEAD\r$/im);
        }
      }
    }
  });

  test('an admin port is on the address that it was given, and on no other', async () => {
    const others = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    const elsewhere = others.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '';
    for (const { admin } of admins()) {
      for (const other of [elsewhere, '127.0.0.2']) {
        // Who has the same number there, and is no process of ours, may answer as he likes.
        const told = await exchange({ port: admin, address: other }, requestOf('/healthz', 'a')).then(
          ({ body }) => body.toString(),
          () => 'nobody',
        );
        assert.notEqual(told, 'ok\n');
      }
    }
  });
});
