import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, afterEach, before, test } from 'node:test';
import { type Cluster, openCluster } from '../../controller/watch/api.ts';
import { answeredLimitMs, Backoff, unreachableLimitMs } from '../../controller/watch/backoff.ts';
import { type ClusterSource, watchCluster } from '../../controller/watch/cluster.ts';
import { baseKinds, type WatchedKind } from '../../controller/watch/kinds.ts';
import { Reflector } from '../../controller/watch/reflect.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';
import { type ApiServer, type Manifest, pathOf, startApiServer, type TestUser } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { quiet } from '../kit/quiet.ts';
import { Relay } from '../kit/relay.ts';
import { waitUntil } from '../kit/wait.ts';

const skip = await skipWithoutApiServer();
let api: ApiServer;
let relay: Relay;
let stops: (() => unknown)[] = [];

before(async () => {
  if (skip) return;
  api = await startApiServer();
  relay = new Relay(Number(new URL(api.url).port));
  await relay.mend();
});

afterEach(async () => {
  for (const stop of stops.reverse()) await stop();
  stops = [];
});

after(async () => {
  if (skip) return;
  await relay.cut();
  await api.stop();
});

interface Watching {
  source: ClusterSource;
  updates: ViewUpdate[];
  /** Keys that have changed since the last time this was asked. */
  taken(): string[];
}

async function clusterOf(user: TestUser, url: string): Promise<Cluster> {
  const cluster = await openCluster({ kubeconfig: await api.kubeconfig(user, url) });
  stops.push(() => cluster.close());
  return cluster;
}

async function watching(user: TestUser = 'admin', url = api.url, namespaces: string[] = []): Promise<Watching> {
  const updates: ViewUpdate[] = [];
  const cluster = await clusterOf(user, url);
  const source = watchCluster({ cluster, namespaces, log: quiet, onUpdate: (update) => updates.push(update) });
  stops.push(() => source.stop());
  let count = 0;
  const taken = () => {
    const news = updates.slice(count).flatMap(({ changes }) => changes.map(({ key }) => key));
    count = updates.length;
    return news;
  };
  return { source, updates, taken };
}

async function started(...args: Parameters<typeof watching>): Promise<Watching> {
  const watch = await watching(...args);
  await waitUntil(() => watch.updates.length > 0, 'the first update');
  watch.taken();
  return watch;
}

const service = (name: string, port = 80, namespace = 'default'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { ports: [{ port }] },
});
const secret = (name: string, value: string, namespace = 'default'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  stringData: { value },
});
const ingress = (name: string): Manifest => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name },
  spec: { defaultBackend: { service: { name: 'a', port: { number: 80 } } } },
});

const portOf = ({ updates }: Watching, name: string) =>
  updates.at(-1)?.view.get('Service', `default/${name}`)?.spec.ports[0]?.port;
const hasPort = async (watch: Watching, name: string, port: number | undefined) =>
  await waitUntil(() => portOf(watch, name) === port, `${name} with port ${port}`);

test('what is created, changed and deleted arrives; what changes nothing does not', {
  skip,
  timeout: 60_000,
}, async () => {
  await api.apply(service('early'));
  const watch = await started();
  assert.equal(portOf(watch, 'early'), 80);
  await api.apply(service('a', 80));
  await hasPort(watch, 'a', 80);
  await api.apply(service('a', 81));
  await hasPort(watch, 'a', 81);
  assert.deepEqual(watch.taken(), ['default/a', 'default/a']);
  const { seen, holds } = watch.updates.at(-1) as ViewUpdate;
  assert.equal(seen['Service'], holds['Service']);
  // Another manager of the same fields, and the annotation of kubectl: metadata, and nothing that matters.
  const path = pathOf(service('a'));
  const noise = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
  await api.call('PATCH', path, { metadata: { annotations: noise } });
  await api.apply(service('b'));
  await hasPort(watch, 'b', 80);
  assert.deepEqual(watch.taken(), ['default/b']);
  await api.delete(service('a'), service('b'), service('early'));
  await hasPort(watch, 'early', undefined);
  assert.deepEqual(watch.taken().sort(), ['default/a', 'default/b', 'default/early']);
});

test('a lost connection changes nothing, and what happened meanwhile is told after it', {
  skip,
  timeout: 60_000,
}, async () => {
  await api.apply(service('kept', 1), service('changed', 1), service('gone', 1), service('replaced', 1));
  const watch = await started('admin', relay.url);
  const uid = watch.updates.at(-1)?.view.get('Service', 'default/replaced')?.metadata.uid;
  await relay.cut();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  await api.delete(service('gone'), service('replaced'));
  await api.apply(service('changed', 2), service('replaced', 1), service('new', 1));
  assert.equal(portOf(watch, 'gone'), 1);
  assert.deepEqual(watch.taken(), []);
  await relay.mend();
  await hasPort(watch, 'new', 1);
  assert.deepEqual([...new Set(watch.taken())].sort(), [
    'default/changed',
    'default/gone',
    'default/new',
    'default/replaced',
  ]);
  assert.notEqual(watch.updates.at(-1)?.view.get('Service', 'default/replaced')?.metadata.uid, uid);
  assert.equal(watch.source.state()['Service']?.relists, 0);
  assert.equal(watch.source.state()['Service']?.failure, null);
  await api.delete(service('kept'), service('changed'), service('replaced'), service('new'));
});

test('a place in history that is forgotten (410) leads to a list, and only the difference is told', {
  skip,
  timeout: 120_000,
}, async () => {
  await api.apply(service('kept', 1), service('changed', 1), service('gone', 1));
  const watch = await started('admin', relay.url);
  await relay.cut();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  await api.delete(service('gone'));
  await api.apply(service('changed', 2));
  await api.compact();
  await api.stopApi();
  await api.startApi();
  await relay.mend();
  await hasPort(watch, 'changed', 2);
  assert.equal(watch.source.state()['Service']?.relists, 1);
  assert.deepEqual(watch.taken().sort(), ['default/changed', 'default/gone']);
  assert.equal(portOf(watch, 'kept'), 1);
  // A deletion that is only known from a list is held up to that list.
  const { seen, holds } = watch.updates.at(-1) as ViewUpdate;
  assert.equal(seen['Service'], holds['Service']);
  await api.apply(service('changed', 3));
  await hasPort(watch, 'changed', 3);
  await api.delete(service('kept'), service('changed'));
});

test('an API server that dies and comes back is followed again', { skip, timeout: 120_000 }, async () => {
  await api.apply(service('a', 1));
  const watch = await started();
  await api.stopApi();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  assert.equal(portOf(watch, 'a'), 1);
  await api.startApi();
  await api.apply(service('a', 2));
  await hasPort(watch, 'a', 2);
  assert.deepEqual(watch.taken(), ['default/a']);
  await api.delete(service('a'));
});

test('data restored from an older backup are believed', { skip, timeout: 120_000 }, async () => {
  await api.apply(service('a', 1));
  await api.backup();
  const watch = await started('admin', relay.url);
  await api.apply(service('a', 2), service('b', 1));
  await hasPort(watch, 'b', 1);
  await relay.cut();
  await api.restore();
  await relay.mend();
  await hasPort(watch, 'b', undefined);
  assert.equal(portOf(watch, 'a'), 1);
  await api.apply(service('a', 3));
  await hasPort(watch, 'a', 3);
  await api.delete(service('a'));
});

test('more objects than fit on a page all come before the first update', { skip, timeout: 120_000 }, async () => {
  const names = Array.from({ length: 1201 }, (_, index) => `many-${index}`);
  for (let start = 0; start < names.length; start += 50) {
    await Promise.all(names.slice(start, start + 50).map((name) => api.apply(ingress(name))));
  }
  const watch = await started();
  const [first] = watch.updates as [ViewUpdate];
  assert.equal([...first.view.all('Ingress')].length, names.length);
  assert.equal(first.changes.filter(({ kind }) => kind === 'Ingress').length, names.length);
  const { status } = await api.call('DELETE', '/apis/networking.k8s.io/v1/namespaces/default/ingresses');
  assert.equal(status, 200);
  await waitUntil(() => [...first.view.all('Ingress')].length === 0, 'all to be gone');
});

test('forbidden kinds: the first update waits for those that routes need, and for no other', {
  skip,
  timeout: 60_000,
}, async () => {
  const watch = await watching('limited');
  await waitUntil(() => /403/.test(watch.source.state()['Ingress']?.failure ?? ''), 'the refusal');
  assert.deepEqual(watch.updates, []);
  const rules = [
    { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: ['list', 'watch'] },
    { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ];
  const group = 'rbac.authorization.k8s.io';
  await api.apply(
    { apiVersion: `${group}/v1`, kind: 'ClusterRole', metadata: { name: 'reader' }, rules },
    {
      apiVersion: `${group}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: 'reader' },
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'reader' },
      subjects: [{ apiGroup: group, kind: 'User', name: 'limited' }],
    },
  );
  await waitUntil(() => watch.updates.length > 0, 'the first update');
  assert.match(watch.source.state()['Node']?.failure ?? '', /^403/);
  assert.equal(watch.source.state()['Ingress']?.failure, null);
  // Secrets may not be read at all: that is an answer too.
  assert.deepEqual(watch.source.useSecrets(new Set(['default/tls'])), new Set(['default/tls']));
  await waitUntil(() => watch.updates.at(-1)?.pendingSecrets.size === 0, 'the refusal of Secrets');
});

test('Secrets: those in use, and no others', { skip, timeout: 60_000 }, async () => {
  await api.apply(secret('used', '1'), secret('unused', '1'), secret('later', '1'));
  const watch = await started();
  const dataOf = (key: string) => watch.updates.at(-1)?.view.get('Secret', key)?.data['value'];
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const first = new Set(['default/used', 'default/missing']);
  assert.deepEqual(watch.source.useSecrets(first), first);
  await waitUntil(() => dataOf('default/used') === base64('1'), 'the Secret');
  assert.equal(watch.updates.at(-1)?.pendingSecrets.size, 0);
  assert.deepEqual(watch.taken(), ['default/used']);
  await api.apply(secret('unused', '2'), secret('used', '2'), secret('missing', 'no more'));
  await waitUntil(() => dataOf('default/missing') !== undefined && dataOf('default/used') === base64('2'), 'changes');
  assert.equal(dataOf('default/unused'), undefined);
  const pending = watch.source.useSecrets(new Set([...first, 'default/later']));
  assert.deepEqual(pending, new Set(['default/later']));
  await waitUntil(() => dataOf('default/later') === base64('1'), 'the Secret that came into use later');
  await api.delete(secret('later', ''));
  await waitUntil(() => dataOf('default/later') === undefined, 'its deletion');
  watch.source.useSecrets(new Set());
  assert.deepEqual([...(watch.updates.at(-1)?.view.all('Secret') ?? [])], []);
  assert.equal(watch.source.state()['Secret'], undefined);
});

test('waits double up to a bound, with jitter, and are forgotten after two good minutes', () => {
  const least = new Backoff(() => 0);
  const waits = Array.from({ length: 8 }, () => least.nextMs(answeredLimitMs, null));
  assert.deepEqual(waits, [800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
  assert.equal(least.nextMs(unreachableLimitMs, null), 5_000);
  least.wasHealthyFor(119_000);
  assert.equal(least.nextMs(answeredLimitMs, 60_000), 60_000);
  least.wasHealthyFor(120_000);
  assert.equal(least.nextMs(answeredLimitMs, 1), 800);
  const most = new Backoff(() => 0.999);
  assert.ok(most.nextMs(answeredLimitMs, null) > 1_500);
});

test('only the chosen namespaces', { skip, timeout: 60_000 }, async () => {
  const other = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } };
  await api.apply(other, service('inside', 1, 'other'), service('outside', 1));
  const watch = await started('admin', api.url, ['other']);
  const names = [...(watch.updates[0]?.view.all('Service') ?? [])].map(({ metadata }) => metadata.name);
  assert.deepEqual(names, ['inside']);
  assert.deepEqual(watch.source.useSecrets(new Set(['default/x'])), new Set());
  await api.delete(service('outside'));
});

test('a watch that goes silent is given up and taken up again', { skip, timeout: 60_000 }, async () => {
  const heard: string[] = [];
  const reflector = new Reflector({
    cluster: await clusterOf('admin', api.url),
    kind: baseKinds.find(({ kind }) => kind === 'Service') as WatchedKind,
    namespace: 'default',
    log: quiet,
    random: () => 0,
    silenceLimitMs: 1_500,
    sink: {
      isWanted: () => true,
      isNews: () => true,
      put: ({ key }) => heard.push(key),
      remove: () => undefined,
      seen: () => undefined,
      bookmarked: () => undefined,
      listed: () => heard.push('listed'),
      refused: () => undefined,
    },
  });
  stops.push(() => reflector.stop());
  reflector.start();
  await waitUntil(() => heard.includes('listed'), 'the list');
  await api.apply(service('before-the-silence'));
  await waitUntil(() => heard.includes('default/before-the-silence'), 'the watch');
  api.freezeApi();
  try {
    await waitUntil(() => /nothing heard/.test(reflector.state().failure ?? ''), 'the silence to be noticed');
  } finally {
    api.thawApi();
  }
  await api.apply(service('after-the-silence'));
  await waitUntil(() => heard.includes('default/after-the-silence'), 'the watch to go on');
  await api.delete(service('before-the-silence'), service('after-the-silence'));
});

test('credentials that have changed on disk are read again when the old are refused', {
  skip,
  timeout: 60_000,
}, async () => {
  const good = await api.kubeconfig();
  const text = await readFile(good, 'utf8');
  const path = `${good}.rotating`;
  await writeFile(path, text.replace('admin-of-the-test', 'expired'));
  const cluster = await openCluster({ kubeconfig: path });
  stops.push(() => cluster.close());
  assert.equal((await cluster.call({ path: '/api/v1/namespaces' })).status, 401);
  await writeFile(path, text);
  assert.equal((await cluster.call({ path: '/api/v1/namespaces' })).status, 200);
  // And those of a plugin, which prints an ExecCredential.
  const status = { token: 'admin-of-the-test' };
  const credential = JSON.stringify({ apiVersion: 'client.authentication.k8s.io/v1', kind: 'ExecCredential', status });
  const config = JSON.parse(text) as { users: { user: object }[] };
  for (const entry of config.users) {
    entry.user = { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'echo', args: [credential] } };
  }
  await writeFile(`${good}.exec`, JSON.stringify(config));
  const byPlugin = await openCluster({ kubeconfig: `${good}.exec` });
  stops.push(() => byPlugin.close());
  assert.equal((await byPlugin.call({ path: '/api/v1/namespaces' })).status, 200);
  await assert.rejects(openCluster({ kubeconfig: `${good}.missing` }), /cannot be read/);
  await assert.rejects(openCluster({ kubeconfig: good, context: 'nowhere' }), /no context named nowhere/);
});
