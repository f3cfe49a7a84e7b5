import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Verdict } from '../../controller/publish/auth.ts';
import { type Cluster, openCluster } from '../../controller/watch/api.ts';
import { type LeaderElection, standForElection } from '../../controller/watch/leader.ts';
import { secretStore } from '../../controller/watch/secretstore.ts';
import { TokenKeys } from '../../controller/watch/tokenkeys.ts';
import { reviewToken } from '../../controller/watch/tokenreview.ts';
import { type ApiServer, type Manifest, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { quiet } from '../kit/quiet.ts';
import { Relay } from '../kit/relay.ts';
import { eventually, waitUntil } from '../kit/wait.ts';

const skip = await skipWithoutApiServer();
let api: ApiServer;
let relay: Relay;
const clusters: Cluster[] = [];

before(async () => {
  if (skip) return;
  api = await startApiServer();
  relay = new Relay(Number(new URL(api.url).port));
  await relay.mend();
});

after(async () => {
  if (skip) return;
  for (const cluster of clusters) await cluster.close();
  await relay.cut();
  await api.stop();
});

async function clusterAt(url = api.url): Promise<Cluster> {
  const cluster = await openCluster({ kubeconfig: await api.kubeconfig('admin', url) });
  clusters.push(cluster);
  return cluster;
}

function candidate(cluster: Cluster, name: string, identity: string, changes: string[]): LeaderElection {
  const onChange = (isLeader: boolean) => changes.push(`${identity} ${isLeader ? 'leads' : 'resigns'}`);
  return standForElection({ cluster, namespace: 'default', name, identity, onChange, log: quiet });
}

const leasePath = (name: string) => `/apis/coordination.k8s.io/v1/namespaces/default/leases/${name}`;

test('one of two leads; when it stops, the other takes over at once', { skip, timeout: 60_000 }, async () => {
  const changes: string[] = [];
  const one = candidate(await clusterAt(), 'handed-over', 'one', changes);
  await waitUntil(() => one.isLeader(), 'the first to lead');
  const two = candidate(await clusterAt(), 'handed-over', 'two', changes);
  const seen = await api.call('GET', leasePath('handed-over'));
  assert.equal((seen.body['spec'] as Record<string, unknown>)['holderIdentity'], 'one');
  await one.stop();
  await waitUntil(() => two.isLeader(), 'the second to lead');
  await two.stop();
  assert.deepEqual(changes, ['one leads', 'one resigns', 'two leads', 'two resigns']);
  const released = await api.call('GET', leasePath('handed-over'));
  assert.equal((released.body['spec'] as Record<string, unknown>)['holderIdentity'], '');
});

describe('a leader that goes without a word', { concurrency: true }, () => {
  test('a leader that is cut off resigns before the other one leads', { skip, timeout: 90_000 }, async () => {
    const changes: string[] = [];
    const cutOff = candidate(await clusterAt(relay.url), 'cut-off', 'one', changes);
    await waitUntil(() => cutOff.isLeader(), 'the first to lead');
    const other = candidate(await clusterAt(), 'cut-off', 'two', changes);
    await relay.cut();
    await leads(other);
    assert.deepEqual(changes, ['one leads', 'one resigns', 'two leads']);
    await relay.mend();
    const lease = await api.call('GET', leasePath('cut-off'));
    const spec = lease.body['spec'] as Record<string, unknown>;
    assert.deepEqual([spec['holderIdentity'], spec['leaseTransitions']], ['two', 1]);
    await cutOff.stop();
    assert.equal(other.isLeader(), true);
    await other.stop();
  });

  test('a leader that is killed is followed by the other', { skip, timeout: 90_000 }, async () => {
    const changes: string[] = [];
    const killed = spawn(process.execPath, [
      join(import.meta.dirname, '../kit/candidate.ts'),
      await api.kubeconfig(),
      'killed',
    ]);
    const [said] = await once(killed.stdout, 'data');
    assert.equal(String(said), 'leads\n');
    const other = candidate(await clusterAt(), 'killed', 'two', changes);
    killed.kill('SIGKILL');
    await once(killed, 'exit');
    await leads(other);
    assert.deepEqual(changes, ['two leads']);
    await other.stop();
  });
});

/** The Lease runs for 15 s. */
async function leads(candidate: LeaderElection): Promise<void> {
  await eventually(async () => candidate.isLeader() || undefined, 'the candidate to lead', 60_000);
}

type Judge = (cluster: Cluster, token: string, audience: string) => Promise<Verdict>;

/** Both ways to know a token, by the answer of the API server and by its keys, say the same. */
const judges: [string, Judge][] = [
  ['reviewed', reviewToken],
  ['checked with keys', (cluster, token, audience) => new TokenKeys(cluster).verify(token, audience, Date.now())],
];

for (const [way, judge] of judges)
  test(`a token is accepted for its audience only: ${way}`, { skip, timeout: 60_000 }, async () => {
    const cluster = await clusterAt();
    await api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'proxy' } });
    const token = await tokenOf('proxy', null);
    const who = 'system:serviceaccount:default:proxy';
    assert.deepEqual(await judge(cluster, token, 'sluice'), { ok: true, who, node: null });
    assert.equal((await judge(cluster, token, 'other')).ok, false);
    const [head, body = '', signature = ''] = token.split('.');
    const other = Buffer.from(Buffer.from(body, 'base64url').toString().replace(':proxy', ':admin')).toString(
      'base64url',
    );
    const turned = (signature.startsWith('A') ? 'B' : 'A') + signature.slice(1);
    const without = Buffer.from(JSON.stringify({ alg: 'none', kid: 'x' })).toString('base64url');
    for (const forged of [
      `${head}.${other}.${signature}`,
      `${head}.${body}.${turned}`,
      `${without}.${body}.`,
      `${token}.x`,
      'not a token',
    ])
      assert.equal((await judge(cluster, forged, 'sluice')).ok, false, forged);
  });

test('a token that has run out is none, whoever has signed it', { skip, timeout: 60_000 }, async () => {
  const keys = new TokenKeys(await clusterAt());
  const token = await tokenOf('proxy', null);
  assert.deepEqual(await keys.verify(token, 'sluice', Date.now() + 601_000), {
    ok: false,
    reason: 'the token has run out',
  });
});

test('a token of a pod says the node that the pod is on', { skip, timeout: 60_000 }, async () => {
  const cluster = await clusterAt();
  const pod: Manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'edge' },
    spec: { nodeName: 'n1', serviceAccountName: 'edge', containers: [{ name: 'edge', image: 'none' }] },
  };
  await api.apply(
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'edge' } },
    { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } },
    pod,
  );
  const who = 'system:serviceaccount:default:edge';
  const token = await tokenOf('edge', pod);
  for (const [, judge] of judges)
    assert.deepEqual(await judge(cluster, token, 'sluice'), { ok: true, who, node: 'n1' });
});

/** As the kubelet asks for it. */
async function tokenOf(account: string, pod: Manifest | null): Promise<string> {
  const made = await api.call('POST', `/api/v1/namespaces/default/serviceaccounts/${account}/token`, {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: {
      audiences: ['sluice'],
      expirationSeconds: 600,
      ...(pod && { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name } }),
    },
  });
  return (made.body['status'] as { token: string }).token;
}

test('what is kept as a Secret is what was written first', { skip, timeout: 60_000 }, async () => {
  const store = secretStore(await clusterAt(), 'default');
  assert.equal(await store.load('shared'), null);
  const [one, two] = await Promise.all([store.create('shared', { a: 'één' }), store.create('shared', { a: 'two' })]);
  assert.deepEqual(one, two);
  assert.deepEqual(await store.load('shared'), one);
  const refused = secretStore(await clusterOf('limited'), 'default');
  await assert.rejects(refused.create('mine', { a: 'hunter2' }), (error: Error) => {
    assert.match(error.message, /403/);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
});

async function clusterOf(user: 'limited'): Promise<Cluster> {
  const cluster = await openCluster({ kubeconfig: await api.kubeconfig(user) });
  clusters.push(cluster);
  return cluster;
}
