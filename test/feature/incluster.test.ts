import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ApiServer, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

const root = resolve(import.meta.dirname, '../..');

/** What the controller needs in a cluster and nothing more; a test that gave it everything would not notice a new need. */
const rules = [
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: ['list', 'watch'] },
  { apiGroups: ['networking.k8s.io'], resources: ['ingresses/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['services', 'namespaces', 'nodes'], verbs: ['list', 'watch'] },
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
      { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: { name: 'sluice' }, rules },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRoleBinding',
        metadata: { name: 'sluice' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'sluice' },
        subjects: [{ kind: 'ServiceAccount', ...metadata }],
      },
    );
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
    controller?.kill('SIGTERM');
    await api?.stop();
    rmSync(pod, { recursive: true, force: true });
  });

  test('the controller finds the API server, leads, and writes a status', async () => {
    // A mount namespace of its own: nothing of this is seen outside, and it goes with the process.
    const mounted = '/var/run/secrets/kubernetes.io/serviceaccount';
    const prepare = `mount -t tmpfs none "$(readlink -f /var/run)" && mkdir -p ${mounted} && cp ${pod}/* ${mounted}/`;
    const flags = '--publish-port 0 --admin-port 0 --publish-address 192.0.2.7 --proxy-service-account gateway/proxy';
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
    assert.doesNotMatch(said, /forbidden|"status":403/i);
  });
});
