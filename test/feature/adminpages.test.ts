import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { request } from 'undici';
import { z } from 'zod';
import { adminOrigin } from '../../controller/publish/adminorigin.ts';
import { type CertificatePair, certificateFor } from '../kit/certificate.ts';
import { eventually } from '../kit/wait.ts';
import { ClusterRig, get, ingress, page, service, sharedToken, skip, slice, tlsSecret } from './clusterrig.ts';

const Reader = z.object({ name: z.string(), connected: z.string(), admin: z.string(), appliedHash: z.string() });

describe('admin pages of the fleet through a controller', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let pair: CertificatePair;

  before(async () => {
    rig = await ClusterRig.start({ backends: ['web'], controllers: 2, proxies: 2, workers: 1 });
    pair = await certificateFor(['shop.example']);
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), tlsSecret('shop', pair));
    await rig.api.apply(ingress('web', 'shop.example', 'web', {}, [{ hosts: ['shop.example'], secretName: 'shop' }]));
    await rig.api.apply(ingress('lost', 'lost.example', 'nobody'));
    await rig.allAnswer('lost.example', 503);
  });

  after(async () => await rig?.stop());

  const each = async (work: (admin: number, name: string) => Promise<void>) => {
    for (const { admin } of rig.controllers) for (const name of ['proxy-1', 'proxy-2']) await work(admin, name);
  };
  const json = async (port: number, path: string) => JSON.parse(await page(port, path)) as Record<string, unknown>;

  test('every replica lists all proxies with what they have applied, and shows the pages of each', async () => {
    const { hash } = await json(rig.proxies[0]?.admin ?? 0, '/tables');
    for (const { admin } of rig.controllers) {
      const readers = await eventually(async () => {
        const readers = z.array(Reader).safeParse(JSON.parse(await page(admin, '/proxies')));
        const isAll = readers.success && readers.data.length === 2;
        return isAll && readers.data.every(({ appliedHash }) => appliedHash === hash) ? readers.data : undefined;
      }, 'both proxies to be known with the table that they have');
      assert.deepEqual(readers.map(({ name }) => name).sort(), ['proxy-1', 'proxy-2']);
    }
    await each(async (admin, name) => {
      const own = rig.proxies[name === 'proxy-1' ? 0 : 1]?.admin ?? 0;
      const tables = await page(admin, `/proxies/${name}/tables`);
      assert.equal(tables, await page(own, '/tables'));
      assert.equal(JSON.parse(tables).hash, z.array(Reader).parse(await json(admin, '/proxies'))[0]?.appliedHash);
      assert.match(await page(admin, `/proxies/${name}`), /^\/healthz\n[\s\S]*\/endpoints\n/);
      assert.match(await page(admin, `/proxies/${name}/metrics`), /^sluice_workers_ready 1$/m);
    });
  });

  test('endpoints with their health, and what workers are about', async () => {
    const [proxy] = rig.proxies;
    const [controller] = rig.controllers;
    assert.ok(proxy && controller);
    assert.equal((await get(proxy.http, 'lost.example')).status, 503);
    for (let i = 0; i < 3; i++) await get(proxy.http, 'shop.example', '/.well-known/acme-challenge/x');
    const { backends } = await json(controller.admin, '/proxies/proxy-1/endpoints');
    const Backends = z.array(z.object({ id: z.string(), endpoints: z.number(), ready: z.number() }));
    const web = Backends.parse(backends).find(({ id }) => id.startsWith('default/web/'));
    assert.deepEqual([web?.endpoints, web?.ready], [1, 1]);
    const query = `backend=${encodeURIComponent(web?.id ?? '')}`;
    const { endpoints } = await json(controller.admin, `/proxies/proxy-1/endpoints?${query}`);
    const [endpoint] = z.array(z.record(z.string(), z.unknown())).parse(endpoints);
    assert.match(String(endpoint?.['endpoint']), new RegExp(`:${rig.portOf(0)}$`));
    assert.deepEqual(
      ['ready', 'isHealthy', 'inFlight', 'results', 'failures'].map((field) => endpoint?.[field]),
      [true, true, 0, 3, 0],
    );
    assert.equal(typeof endpoint?.['latencyMs'], 'number');
    const { workers } = await json(controller.admin, '/proxies/proxy-1/connections');
    const [worker] = z
      .array(z.object({ pid: z.number(), listeners: z.array(z.record(z.string(), z.unknown())) }))
      .parse(workers);
    assert.ok(worker?.listeners.some(({ listenerId }) => listenerId === 'http'));
    assert.match(await page(proxy.admin, '/endpoints?backend=no/such/one'), /not found/);
  });

  test('only GET, only of who is connected, only pages, and nothing with a body', async () => {
    const port = rig.controllers[0]?.admin ?? 0;
    const ask = async (
      method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE',
      path: string,
      body: string | null = null,
    ) => {
      const answer = await request(`http://127.0.0.1:${port}${path}`, { method, body });
      return { status: answer.statusCode, text: await answer.body.text() };
    };
    for (const method of ['POST', 'PUT', 'DELETE'] as const) {
      assert.equal((await ask(method, '/proxies/proxy-1/tables')).status, 405, method);
    }
    assert.deepEqual(await ask('HEAD', '/proxies/proxy-1/tables'), { status: 200, text: '' });
    assert.equal((await ask('GET', '/proxies/proxy-1/tables', 'body')).status, 400);
    for (const path of [
      '/proxies/proxy-3/tables',
      '/proxies/%ff/tables',
      '/proxies/proxy-1/tables/more',
      '/proxies/proxy-1//10.0.0.1/tables',
      '/proxies/proxy-1/@10.0.0.1',
      '/proxies/proxy-1/%2e%2e',
      '/edges/proxy-1/plan',
    ]) {
      assert.equal((await ask('GET', path)).status, 404, path);
    }
  });

  test('no page shows key material or a token', async () => {
    const token = await readFile(rig.file('sluice-proxy.token'), 'utf8');
    const keyLines = pair.key.split('\n').filter((line) => line.length > 40);
    const { body } = await rig.api.call('GET', '/api/v1/namespaces/default/secrets');
    const secrets = z.array(z.object({ data: z.record(z.string(), z.string()).optional() })).parse(body['items']);
    const fleetKeys = secrets.flatMap(({ data = {} }) =>
      Object.entries(data).flatMap(([name, value]) => (/\.(crt|pem)$/.test(name) ? [] : [value])),
    );
    assert.ok(fleetKeys.length > 2 && keyLines.length > 1);
    for (const { admin } of rig.controllers) {
      const pages = (await page(admin, '/nothing')).trim().split('\n');
      const below = (await page(admin, '/proxies/proxy-1/'))
        .trim()
        .split('\n')
        .map((path) => `/proxies/proxy-1${path}`);
      for (const path of [...pages, ...below]) {
        const text = await page(admin, path);
        for (const secret of [token, sharedToken, ...keyLines, ...fleetKeys]) {
          assert.ok(!text.includes(secret), `${path} shows a secret`);
        }
      }
    }
  });

  test('a proxy that went has no pages', async () => {
    const port = rig.controllers[0]?.admin ?? 0;
    const proxy = rig.proxies[1]?.process;
    proxy?.signal('SIGKILL');
    await proxy?.ended();
    await eventually(
      async () => ((await page(port, '/proxies/proxy-2/healthz')).startsWith('ok') ? undefined : true),
      'the pages of proxy-2 to be gone',
    );
    assert.equal(await page(port, '/proxies/proxy-1/healthz'), 'ok\n');
  });
});

describe('where a reader may say that its pages are', () => {
  const rows: [told: string | null, peer: string | undefined, origin: string | null][] = [
    [':10254', '10.1.2.3', 'http://10.1.2.3:10254'],
    [':10254', '::ffff:10.1.2.3', 'http://10.1.2.3:10254'],
    [':10254', 'fd00::7', 'http://[fd00::7]:10254'],
    ['10.9.9.9:80', '10.1.2.3', 'http://10.9.9.9:80'],
    ['[fd00::8]:80', '10.1.2.3', 'http://[fd00::8]:80'],
    [':10254', '127.0.0.1', 'http://127.0.0.1:10254'],
    ['127.0.0.1:10254', '::1', 'http://127.0.0.1:10254'],
    ['127.0.0.1:10254', '10.1.2.3', null],
    ['[::1]:10254', '10.1.2.3', null],
    ['[::ffff:127.0.0.1]:10254', '10.1.2.3', null],
    ['0.0.0.0:10254', '10.1.2.3', null],
    ['169.254.169.254:80', '10.1.2.3', null],
    ['[::ffff:169.254.169.254]:80', '10.1.2.3', null],
    ['[fd00:ec2::254]:80', '10.1.2.3', null],
    ['100.100.100.200:80', '10.1.2.3', null],
    ['[fe80::1]:80', '10.1.2.3', null],
    ['224.0.0.1:80', '10.1.2.3', null],
    ['10.1.2.3:0', '10.1.2.3', null],
    ['10.1.2.3:65536', '10.1.2.3', null],
    ['10.1.2.300:80', '10.1.2.3', null],
    ['metadata.internal:80', '10.1.2.3', null],
    ['10.1.2.3:80/path', '10.1.2.3', null],
    ['10.1.2.3:80@10.0.0.1:80', '10.1.2.3', null],
    [null, '10.1.2.3', null],
    [':10254', undefined, null],
  ];
  for (const [told, peer, origin] of rows) {
    test(`${told} from ${peer}: ${origin}`, () => assert.equal(adminOrigin(told, peer), origin));
  }
});
