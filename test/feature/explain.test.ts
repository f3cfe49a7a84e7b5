import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { scrubbed } from '../../controller/explain/scrub.ts';
import type { Manifest } from '../kit/apiserver.ts';
import { certificateFor } from '../kit/certificate.ts';
import { toYaml } from '../kit/manifests.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { address, ClusterRig, ingress, service, sharedToken, skip, slice, tlsSecret } from './clusterrig.ts';

const run = promisify(execFile);
/** The API server takes no loopback addresses of pods. */
const everywhere = ['--admin-address', '0.0.0.0'];

describe('sluice status, report, explain and diff, through a real API server', { skip, timeout: 300_000 }, () => {
  let rig: ClusterRig;
  let folder: string;
  const secrets: string[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-report-'));
    rig = await ClusterRig.start({ backends: ['web'], controllers: 0, proxies: 0, workers: 1 });
    const pair = await certificateFor(['shop.example']);
    secrets.push(sharedToken, ...pair.key.split('\n').filter((line) => line.length > 40));
    await rig.api.apply(service('web'), slice('web', rig.portOf(0)), tlsSecret('shop', pair));
    await rig.api.apply(ingress('shop', 'shop.example', 'web', {}, [{ hosts: ['shop.example'], secretName: 'shop' }]));
  });

  after(async () => {
    await rig?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  const sluice = async (...args: string[]) => {
    const [command = '', ...rest] = args;
    const process = new SluiceProcess([command, '--kubeconfig', await rig.api.kubeconfig(), ...rest]);
    const { code } = await process.ended();
    return { code, stdout: process.stdout, stderr: process.stderr };
  };

  test('nothing is there yet: what is missing is said, and the exit code is 1', async () => {
    const { code, stdout } = await sluice('status');
    assert.equal(code, 1);
    assert.match(
      stdout,
      /^ok +API server +v1\.\d+\.\d+\nok +kinds .*only --edge needs them\nok +class +IngressClass sluice\n/,
    );
    assert.match(stdout, /^failed +controllers +there is none$/m);
    assert.match(stdout, /^waiting +fleet +no controller shows its pages$/m);
  });

  test('--wait: says what changes, and ends when all is well', async () => {
    const waiting = new SluiceProcess([
      'status',
      '--wait',
      '--timeout',
      '4m',
      '--kubeconfig',
      await rig.api.kubeconfig(),
    ]);
    await waiting.printed(/^failed +controllers/m);
    const controller = await rig.startController(rig.api.url, everywhere);
    rig.controllers.push(controller);
    await rig.keepAuthority();
    await makePod('sluice-controller-0', 'controller', controller.admin);
    await waiting.printed(/^failed +proxies +there is none$/m);
    rig.proxies.push(await rig.startProxy('sluice-proxy-0', 1, 'sluice-proxy', everywhere));
    await makePod('sluice-proxy-0', 'proxy', rig.proxies[0]?.admin ?? 0);
    assert.deepEqual(await waiting.ended(), { code: 0, signal: null });
    assert.match(waiting.stdout, /^ok +controllers +1 of 1 are ready$/m);
    assert.match(waiting.stdout, /^ok +leader +\S+_[0-9a-f]{8}$/m);
    assert.match(waiting.stdout, /^ok +proxies +1 of 1 have applied table \d+$/m);
    assert.match(waiting.stdout, /^note +certificates +default\/shop ends \d{4}-/m);
  });

  test('a problem is a note, and no failure', async () => {
    await rig.api.apply(ingress('lost', 'lost.example', 'nobody'));
    await rig.allAnswer('lost.example', 503);
    const { code, stdout } = await sluice('status', '--namespace', 'default');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^note +problems +1 error ServiceNotFound; /m);
  });

  test('what a controller of another release says in another form is counted, and hides nothing else', async (t) => {
    const admin = rig.controllers[0]?.admin ?? 0;
    const server = createServer(async ({ url = '' }, response) => {
      const page = await (await fetch(`http://${address}:${admin}${url}`)).text();
      const more = { '/problems': [{ code: 'OfTomorrow', severity: 'info' }, { of: 'tomorrow' }], '/proxies': [{}] }[
        url
      ];
      response.end(more ? JSON.stringify([...more, ...(JSON.parse(page) as object[])]) : page);
    });
    t.after(() => server.close());
    server.listen(0, address);
    await once(server, 'listening');
    // The first by name is asked.
    await makePod('another-controller', 'controller', (server.address() as AddressInfo).port);
    const { stdout } = await sluice('status');
    await rig.api.call('DELETE', '/api/v1/namespaces/default/pods/another-controller?gracePeriodSeconds=0');
    assert.match(stdout, /^waiting +proxies +1 of 2 have applied table \d+$/m);
    assert.match(stdout, /^note +problems +1 info OfTomorrow, 1 problem OfAnotherRelease, 1 error ServiceNotFound; /m);
  });

  test('explain asks a proxy of the installation, and the cluster what sets a setting', async () => {
    const annotations = { 'sluice.dev/proxy-read-timeout': '30' };
    await rig.api.apply(ingress('slow', 'slow.example', 'web', annotations));
    await rig.allAnswer('slow.example', 200);
    const { code, stdout, stderr } = await sluice('explain', 'slow.example/x');
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^tables +of proxy default\/sluice-proxy-0$/m);
    assert.match(stdout, /^route +ingress\/default\/slow\/0\/0 \(Ingress default\/slow /m);
    assert.match(
      stdout,
      /^route +timeouts .*readMs 30000\*.*\(\* by sluice\.dev\/proxy-read-timeout of Ingress default\/slow\)$/m,
    );
    assert.match(stdout, /^endpoint +\S+, ready, 0 in flight/m);
    const lost = await sluice('explain', 'lost.example');
    assert.equal(lost.code, 1);
    assert.match(lost.stdout, /^problem +error +ServiceNotFound: Ingress default\/lost /m);
  });

  test('diff says what manifests would change in the cluster', async () => {
    const file = join(folder, 'slow.yaml');
    const slow = ingress('slow', 'slow.example', 'web', { 'sluice.dev/proxy-read-timeout': '40' });
    await writeFile(file, toYaml([{ ...slow, metadata: { ...slow.metadata, namespace: 'default' } }]));
    const { code, stdout, stderr } = await sluice('diff', '--to', file);
    assert.equal(code, 1, stderr);
    assert.match(
      stdout,
      /^~ route ingress\/default\/slow\/0\/0 .*\n {4}timeouts\.readMs 30000 → 40000\n {4}timeouts\.tunnelMs /m,
    );
    assert.equal(stdout.match(/^[~+-] /gm)?.length, 1, stdout);
  });

  test('diff reads a Secret that nobody names but the manifests', async () => {
    await rig.api.apply(tlsSecret('spare', await certificateFor(['spare.example'])));
    const file = join(folder, 'spare.yaml');
    const spare = ingress('spare', 'spare.example', 'web', {}, [{ hosts: ['spare.example'], secretName: 'spare' }]);
    await writeFile(file, toYaml([{ ...spare, metadata: { ...spare.metadata, namespace: 'default' } }]));
    const { code, stdout, stderr } = await sluice('diff', '--to', file);
    assert.equal(code, 1, stderr);
    assert.match(stdout, /^\+ certificate default\/spare\b/m);
    assert.doesNotMatch(stdout, /SecretNotFound/);
  });

  test('diff puts what names no namespace into that of the context, as kubectl does', async () => {
    const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } };
    await rig.api.apply(namespace);
    const there = service('there');
    await rig.api.apply({ ...there, metadata: { ...there.metadata, namespace: 'shop' } });
    const kubeconfig = join(folder, 'kubeconfig.yaml');
    const text = await readFile(await rig.api.kubeconfig(), 'utf8');
    await writeFile(kubeconfig, stringify(inNamespace(parse(text), 'shop')));
    const file = join(folder, 'nowhere.yaml');
    const { metadata, ...rest } = ingress('nowhere', 'nowhere.example', 'there');
    const { namespace: _, ...unplaced } = { namespace: '', ...metadata };
    await writeFile(file, stringify({ ...rest, metadata: unplaced }));
    const diff = new SluiceProcess(['diff', '--kubeconfig', kubeconfig, '--to', file]);
    assert.equal((await diff.ended()).code, 1, diff.stderr);
    assert.match(diff.stdout, /^\+ route ingress\/shop\/nowhere\/0\/0 /m);
    assert.doesNotMatch(diff.stdout, /ServiceNotFound/);
  });

  test('a pod that was evicted keeps nobody waiting', async () => {
    for (const [name, phase] of [
      ['sluice-controller-gone', 'Failed'],
      ['sluice-proxy-gone', 'Succeeded'],
    ] as const) {
      await makePod(name, name.split('-')[1] ?? '', 1);
      const conditions = [{ type: 'Ready', status: 'False' }];
      const path = `/api/v1/namespaces/default/pods/${name}/status`;
      assert.equal((await rig.api.call('PATCH', path, { status: { phase, conditions } })).status, 200);
    }
    const { code, stdout } = await sluice('status');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +controllers +1 of 1 are ready$/m);
    assert.match(stdout, /^ok +proxies +1 of 1 have applied /m);
  });

  test('an API server that does not answer is a line, too', async () => {
    const process = new SluiceProcess([
      'status',
      '--kubeconfig',
      await rig.api.kubeconfig('admin', 'https://127.0.0.1:9'),
    ]);
    assert.equal((await process.ended()).code, 1);
    assert.match(process.stdout, /^failed +API server +\S/);
  });

  test('a report has the pages of everybody, and no key material and no token', async () => {
    const tokens = await Promise.all(
      ['sluice-proxy.token', 'shared.token'].map((name) => readFile(rig.file(name), 'utf8')),
    );
    const { body } = await rig.api.call('GET', '/api/v1/namespaces/default/secrets');
    const kept = z.array(z.object({ data: z.record(z.string(), z.string()).optional() })).parse(body['items']);
    secrets.push(...tokens, ...kept.flatMap(({ data = {} }) => keysOf(data)));
    assert.ok(secrets.length > 5);
    const path = join(folder, 'report.tar.gz');
    const { code, stdout, stderr } = await sluice('report', '--output', path);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^\d+ files in .*report\.tar\.gz\n$/);
    await run('tar', ['-xzf', path, '-C', folder]);
    const found = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
    const texts = new Map<string, string>();
    for (const entry of found) {
      if (entry.name.endsWith('.gz')) continue;
      const file = join(entry.parentPath, entry.name);
      texts.set(file.slice(folder.length + 1), await readFile(file, 'utf8'));
    }
    assert.match(texts.get('versions.json') ?? '', /"kubernetes": "v1\./);
    assert.match(texts.get('controller/sluice-controller-0/problems.txt') ?? '', /ServiceNotFound/);
    assert.match(texts.get('proxy/sluice-proxy-0/tables.txt') ?? '', /"ingress\/default\/shop/);
    assert.match(texts.get('proxy/sluice-proxy-0/metrics.txt') ?? '', /^sluice_workers_ready 1$/m);
    // There is no kubelet here.
    assert.match(texts.get('proxy/sluice-proxy-0/log.main.txt') ?? '', /^\(not available: /);
    for (const [name, text] of texts) {
      for (const secret of secrets) assert.ok(!text.includes(secret), `${name} holds a secret`);
    }
  });

  test('a folder instead of a file', async () => {
    const { code } = await sluice('report', '--output', join(folder, 'plain'));
    assert.equal(code, 0);
    assert.ok((await readdir(join(folder, 'plain'))).includes('status.json'));
  });

  /** As a kubelet would report it. */
  async function makePod(name: string, component: string, adminPort: number): Promise<void> {
    const pod: Manifest = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, labels: { 'app.kubernetes.io/name': 'sluice', 'app.kubernetes.io/component': component } },
      spec: {
        nodeName: 'node-1',
        containers: [{ name: 'main', image: 'sluice:test', ports: [{ name: 'admin', containerPort: adminPort }] }],
      },
    };
    await rig.api.apply(pod);
    const status = {
      phase: 'Running',
      podIP: address,
      podIPs: [{ ip: address }],
      conditions: [{ type: 'Ready', status: 'True' }],
    };
    const answer = await rig.api.call('PATCH', `/api/v1/namespaces/default/pods/${name}/status`, { status });
    assert.equal(answer.status, 200);
  }
});

describe('what a report is rid of, should it ever be there', () => {
  const rows: [text: string, left: string][] = [
    ['a -----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY----- b', 'a (removed) b'],
    ['a -----BEGIN RSA PRIVATE KEY-----\nMHcC+/=\n', 'a (removed)'],
    ['"-----BEGIN PRIVATE KEY-----\\nMHcC\\r\\nAB==\\n-----END PRIVATE KEY-----\\n"', '"(removed)\\n"'],
    [
      '-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,AB12\n\nMHcC\n-----END EC PRIVATE KEY-----, b',
      '(removed), b',
    ],
    ['token eyJhbGciOiJSUzI1.eyJhdWQiOlsi.c2lnbmF0dXJl.', 'token (removed).'],
    ['Authorization: Bearer abcdefgh12345678', 'Authorization: Bearer (removed)'],
    ['redis://user:pass%20word@host:6379/0', 'redis://user:(removed)@host:6379/0'],
    ['redis://:p@ss@host:6379/0', 'redis://:(removed)@host:6379/0'],
    ['https://host:443/a@b', 'https://host:443/a@b'],
    [
      '"path":"/cb?code=4%2F0Ab&state=x&access_token=opaque;sid=9","user_agent":"a"',
      '"path":"/cb?code=(removed)&state=x&access_token=(removed);sid=(removed)","user_agent":"a"',
    ],
    ['"/o?X-Amz-Signature=00ff&list-type=2"', '"/o?X-Amz-Signature=(removed)&list-type=2"'],
    ['"/token?page=2&q=keys"', '"/token?page=2&q=keys"'],
    [
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
      '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----',
    ],
  ];
  for (const [text, left] of rows) test(JSON.stringify(left), () => assert.equal(scrubbed(text), left));
});

function inNamespace(config: { contexts: { context: object }[] }, namespace: string): object {
  return { ...config, contexts: config.contexts.map((each) => ({ ...each, context: { ...each.context, namespace } })) };
}

function keysOf(data: Readonly<Record<string, string>>): string[] {
  return Object.entries(data).flatMap(([name, value]) => {
    if (/\.(crt|pem)$/.test(name)) return [];
    return [value, Buffer.from(value, 'base64').toString()];
  });
}
