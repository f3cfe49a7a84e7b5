import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ApiServer, type Manifest, pathOf, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { addressPool, announcement, installOwnKinds } from '../kit/ownkinds.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';
import { loadBalancer, node, TestEdge } from './addressrig.ts';

const root = resolve(import.meta.dirname, '../..');

/** What the controller needs in a cluster and nothing more; a test that gave it everything would not notice a new need. */
const rules = [
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: ['list', 'watch'] },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['services', 'namespaces', 'nodes'], verbs: ['list', 'watch'] },
  // With --edge.
  { apiGroups: [''], resources: ['services', 'services/status'], verbs: ['patch'] },
  { apiGroups: ['sluice.dev'], resources: ['addresspools', 'announcements', 'bgppeers'], verbs: ['list', 'watch'] },
  { apiGroups: ['sluice.dev'], resources: ['addresspools/status'], verbs: ['patch'] },
  { apiGroups: ['apiextensions.k8s.io'], resources: ['customresourcedefinitions'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'list', 'watch', 'create'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update', 'patch'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
];

const canUnshare = spawnSync('unshare', ['-m', 'true']).status === 0;
const unable = canUnshare ? false : 'needs root and unshare(1), to give a process the files of a pod';
if (unable && process.env['CI']) throw new Error(unable);
const skip = (await skipWithoutApiServer()) || unable;

describe('inside a cluster, with the files of a pod and no kubeconfig', { skip }, () => {
  let api: ApiServer;
  let controller: ChildProcess | undefined;
  let proxy: SluiceProcess | undefined;
  let edge: TestEdge | undefined;
  let said = '';
  let pod = '';

  before(async () => {
    pod = mkdtempSync(join(tmpdir(), 'sluice-pod-'));
    api = await startApiServer();
    const metadata = { name: 'sluice', namespace: 'gateway' };
    await api.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'gateway' } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, name: 'proxy' } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { ...metadata, name: 'edge' } },
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'sluice' }, rules },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'sluice' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'sluice' },
        subjects: [{ kind: 'ServiceAccount', ...metadata }],
      },
    );
    await installOwnKinds(api);
    const config = JSON.parse(readFileSync(await api.kubeconfig(), 'utf8'));
    writeFileSync(join(pod, 'token'), await tokenOf('sluice'));
    writeFileSync(join(pod, 'namespace'), 'gateway');
    writeFileSync(join(pod, 'ca.crt'), Buffer.from(config.clusters[0].cluster['certificate-authority-data'], 'base64'));
  });

  /** As the kubelet projects it into a pod. */
  async function tokenOf(account: string, audiences?: string[]): Promise<string> {
    const path = `/api/v1/namespaces/gateway/serviceaccounts/${account}/token`;
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences } };
    const { body } = await api.call('POST', path, request);
    return (body['status'] as { token: string }).token;
  }

  after(async () => {
    await proxy?.stop();
    await edge?.stop();
    controller?.kill('SIGTERM');
    await api?.stop();
    rmSync(pod, { recursive: true, force: true });
  });

  test('the controller finds the API server, leads, and writes a status', async () => {
    // A mount namespace of its own: nothing of this is seen outside, and it goes with the process.
    const mounted = '/var/run/secrets/kubernetes.io/serviceaccount';
    const prepare = `mount -t tmpfs none "$(readlink -f /var/run)" && mkdir -p ${mounted} && cp ${pod}/* ${mounted}/`;
    const accounts = '--proxy-service-account gateway/proxy --edge-service-account gateway/edge';
    const flags = `--publish-port 0 --admin-port 0 --publish-address 192.0.2.7 --edge ${accounts}`;
    const start = `${prepare} && exec ${process.execPath} ${join(root, 'sluice.js')} controller ${flags}`;
    const { hostname, port } = new URL(api.url);
    controller = spawn('unshare', ['-m', 'sh', '-c', start], {
      env: { PATH: process.env['PATH'], HOME: pod, KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    controller.stderr?.on('data', (bytes: Buffer) => {
      said += bytes.toString();
    });
    const ingress = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name: 'web', namespace: 'default' },
      spec: { ingressClassName: 'sluice', defaultBackend: { service: { name: 'web', port: { number: 80 } } } },
    };
    await api.apply(ingress);

    const listening = await eventually(async () => {
      assert.equal(controller?.exitCode, null, said);
      return /"publish":(\d+)/.exec(said)?.[1];
    }, 'the controller to listen');
    const secret = await api.call('GET', '/api/v1/namespaces/gateway/secrets/sluice-authority');
    const authority = (secret.body['data'] as Record<string, string>)['ca.crt'] ?? '';
    writeFileSync(join(pod, 'authority.crt'), Buffer.from(authority, 'base64'));
    writeFileSync(join(pod, 'proxy-token'), await tokenOf('proxy', ['sluice']));
    proxy = new SluiceProcess([
      ...['proxy', '--controller', `https://127.0.0.1:${listening}`, '--workers', '1', '--name', 'pod'],
      ...['--controller-ca', join(pod, 'authority.crt'), '--token-file', join(pod, 'proxy-token')],
      ...['--http-port', '0', '--https-port', '0', '--admin-port', '0'],
    ]);
    const found = await eventually(async () => {
      const { body } = await api.call('GET', '/apis/networking.k8s.io/v1/namespaces/default/ingresses/web');
      const status = JSON.stringify(body['status']);
      return status.includes('192.0.2.7') ? status : undefined;
    }, 'the status of the Ingress');
    assert.match(found, /192\.0\.2\.7/);
    const lease = await api.call('GET', '/apis/coordination.k8s.io/v1/namespaces/gateway/leases/sluice-controller');
    assert.equal(lease.status, 200);
    const problems = await eventually(async () => {
      const { body } = await api.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
      const text = JSON.stringify(body);
      return text.includes('ServiceNotFound') ? text : undefined;
    }, 'the Event of the Service that is missing');
    assert.match(problems, /ServiceNotFound/);
    await givesAnAddress(Number(listening));
    assert.doesNotMatch(said, /forbidden|"status":403/i);
  });

  /** To a Service, and takes it back: with a pool, and an edge on the only node. */
  async function givesAnAddress(publish: number): Promise<void> {
    const pool = addressPool('public', { addresses: ['192.0.2.9'] });
    const service = loadBalancer('default', 'front');
    await api.apply(node('n1'), announcement('all', { l2: {} }), pool, service);
    writeFileSync(join(pod, 'edge-token'), await tokenOf('edge', ['sluice']));
    const urls = [`https://localhost:${publish}`];
    edge = new TestEdge('n1', urls, join(pod, 'authority.crt'), join(pod, 'edge-token'));
    const says = async (object: Manifest, text: string) =>
      await eventually(async () => {
        const { body } = await api.call('GET', pathOf(object));
        return JSON.stringify(body['status'] ?? '').includes(text) || undefined;
      }, `${object.kind} to say ${text}`);
    await says(service, '192.0.2.9');
    await says(pool, '"assigned":1');
    await api.delete(service);
    await eventually(
      async () => ((await api.call('GET', pathOf(service))).status === 404 ? true : undefined),
      'it to go',
    );
  }
});
