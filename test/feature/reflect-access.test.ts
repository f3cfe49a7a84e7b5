import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, test } from 'node:test';
import { openCluster } from '../../controller/watch/api.ts';
import { answeredLimitMs, Backoff, unreachableLimitMs } from '../../controller/watch/backoff.ts';
import { watchCluster } from '../../controller/watch/cluster.ts';
import { secretKind } from '../../controller/watch/kinds.ts';
import { Reflector } from '../../controller/watch/reflect.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';
import { kindsBehind } from '../../proxy/receive/order.ts';
import type { Manifest } from '../kit/apiserver.ts';
import { quiet } from '../kit/quiet.ts';
import { waitUntil } from '../kit/wait.ts';
import { service, watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

afterEach(() => rig.endWatchers());

const secret = (name: string, value: string, namespace = 'default'): Manifest => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name, namespace },
  stringData: { value },
});

test('forbidden kinds: the first update waits for those that routes need, and for no other', {
  skip,
  timeout: 60_000,
}, async () => {
  const watch = await rig.watchers.begin({ user: 'limited' });
  await waitUntil(() => /403/.test(watch.source.state()['Ingress']?.failure ?? ''), 'the refusal');
  assert.deepEqual(watch.updates, []);
  const rules = [
    { apiGroups: ['networking.k8s.io'], resources: ['ingresses', 'ingressclasses'], verbs: ['list', 'watch'] },
    { apiGroups: [''], resources: ['services'], verbs: ['list', 'watch'] },
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
  ];
  const group = 'rbac.authorization.k8s.io';
  await rig.api.apply(
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
  await waitUntil(() => watch.source.useSecrets(new Set(['default/tls'])).size === 0, 'the refusal of Secrets');
});

test('ConfigMaps: those that are named, with rights to these alone, and nothing before they are read', {
  skip,
  timeout: 60_000,
}, async () => {
  const configMap = (name: string, value: string): Manifest => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default' },
    data: { value },
  });
  const bound = async (name: string, rules: unknown[]) => {
    const group = 'rbac.authorization.k8s.io';
    const metadata = { name, namespace: 'default' };
    const subjects = [{ apiGroup: group, kind: 'User', name: 'limited' }];
    await rig.api.apply(
      { apiVersion: `${group}/v1`, kind: 'Role', metadata, rules },
      {
        apiVersion: `${group}/v1`,
        kind: 'RoleBinding',
        metadata,
        roleRef: { apiGroup: group, kind: 'Role', name },
        subjects,
      },
    );
  };
  const resources = ['ingresses', 'ingressclasses', 'services', 'endpointslices'];
  await bound('objects', [{ apiGroups: ['*'], resources, verbs: ['list', 'watch'] }]);
  await rig.api.apply(configMap('gateway', '1'), configMap('other', '1'));
  const watch = await rig.watchers.begin({ user: 'limited', configMaps: ['default/gateway'] });
  await waitUntil(() => /^403/.test(watch.source.state()['ConfigMap']?.failure ?? ''), 'the refusal');
  await waitUntil(() => watch.source.state()['Ingress']?.isSynced === true, 'the Ingresses');
  assert.deepEqual(watch.updates, []);
  await bound('settings', [
    { apiGroups: [''], resources: ['configmaps'], resourceNames: ['gateway'], verbs: ['list', 'watch'] },
  ]);
  const valueIn = (name: string) => watch.updates.at(-1)?.view.get('ConfigMap', `default/${name}`)?.data['value'];
  await waitUntil(() => valueIn('gateway') === '1', 'the ConfigMap');
  assert.equal(valueIn('other'), undefined);
  await rig.api.apply(configMap('other', '2'), configMap('gateway', '2'));
  await waitUntil(() => valueIn('gateway') === '2', 'its change');
  await rig.api.delete(configMap('gateway', ''));
  await waitUntil(() => valueIn('gateway') === undefined, 'its deletion');
  assert.equal(valueIn('other'), undefined);
});

test('Secrets: those in use, and no others', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(secret('used', '1'), secret('unused', '1'), secret('later', '1'));
  const watch = await rig.watchers.started();
  const dataOf = (key: string) => watch.updates.at(-1)?.view.get('Secret', key)?.data['value'];
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const first = new Set(['default/used', 'default/missing']);
  assert.deepEqual(watch.source.useSecrets(first), first);
  await waitUntil(() => dataOf('default/used') === base64('1'), 'the Secret');
  assert.equal(watch.source.useSecrets(first).size, 0);
  assert.deepEqual(watch.taken(), ['default/used']);
  await rig.api.apply(secret('unused', '2'), secret('used', '2'), secret('missing', 'no more'));
  await waitUntil(() => dataOf('default/missing') !== undefined && dataOf('default/used') === base64('2'), 'changes');
  assert.equal(dataOf('default/unused'), undefined);
  const pending = watch.source.useSecrets(new Set([...first, 'default/later']));
  assert.deepEqual(pending, new Set(['default/later']));
  await waitUntil(() => dataOf('default/later') === base64('1'), 'the Secret that came into use later');
  await rig.api.delete(secret('later', ''));
  await waitUntil(() => dataOf('default/later') === undefined, 'its deletion');
  watch.source.useSecrets(new Set());
  assert.deepEqual([...(watch.updates.at(-1)?.view.all('Secret') ?? [])], []);
  assert.equal(watch.source.state()['Secret'], undefined);
});

test('a Secret that comes into use again while all are listed anew is not taken for gone', {
  skip,
  timeout: 60_000,
}, async (t) => {
  await rig.api.apply(secret('again', '1'), secret('beside', '1'));
  const cluster = await rig.watchers.cluster();
  const collection = '/api/v1/namespaces/default/secrets';
  const path = `${collection}/again`;
  const wanted = new Set(['default/again']);
  const told: string[] = [];
  const reflector = new Reflector({
    cluster: {
      ...cluster,
      async call(call) {
        // A later page of the second list: the one with the Secret was read while nobody wanted it.
        if (told.includes('listed') && call.path.includes('continue=') && wanted.size === 0) {
          wanted.add('default/again');
          reflector.learn((await cluster.call({ path })).body);
        }
        return await cluster.call(call);
      },
      async stream(at, signal) {
        wanted.clear();
        const isFirst = told.filter((each) => each === 'listed').length === 1;
        return await cluster.stream(isFirst ? `${collection}/no-such` : at, signal);
      },
    },
    kind: { ...secretKind, pageSize: 1 },
    namespace: 'default',
    log: quiet,
    random: () => 0,
    sink: {
      isWanted: (key) => wanted.has(key),
      isNews: () => true,
      put: ({ key }) => told.push(`put ${key}`),
      remove: (key) => told.push(`removed ${key}`),
      seen: () => undefined,
      bookmarked: () => undefined,
      listed: () => told.push('listed'),
      refused: () => undefined,
    },
  });
  reflector.start();
  t.after(() => reflector.stop());
  await waitUntil(() => told.filter((each) => each === 'listed').length === 2, 'the second list');
  assert.deepEqual(told, ['put default/again', 'listed', 'put default/again', 'listed']);
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
  const away = new Backoff(() => 0);
  for (let i = 0; i < 100; i++) away.nextMs(unreachableLimitMs, null);
  const afterwards = Array.from({ length: 3 }, () => away.nextMs(answeredLimitMs, null));
  assert.deepEqual(afterwards, [5_000, 10_000, 20_000]);
  const most = new Backoff(() => 0.999);
  assert.ok(most.nextMs(answeredLimitMs, null) > 1_500);
});

test('only the chosen namespaces', { skip, timeout: 60_000 }, async () => {
  const other = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'other' } };
  await rig.api.apply(other, service('inside', 1, 'other'), service('outside', 1));
  const watch = await rig.watchers.started({ namespaces: ['other'] });
  const names = [...(watch.updates[0]?.view.all('Service') ?? [])].map(({ metadata }) => metadata.name);
  assert.deepEqual(names, ['inside']);
  assert.deepEqual(watch.source.useSecrets(new Set(['default/x', 'own/y'])), new Set(['own/y']));
  await rig.api.delete(service('outside'));
});

test('of several namespaces, what one has seen says nothing of another whose watch stands still', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const namespaces = ['other', 'still'];
  await rig.api.apply(...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })));
  const cluster = await rig.watchers.cluster();
  const behind: ViewUpdate[] = [];
  const source = watchCluster({
    cluster: {
      ...cluster,
      call: (call) => cluster.call(call),
      async stream(path, signal, accept) {
        if (path.includes('/namespaces/still/services')) await once(signal, 'abort');
        return await cluster.stream(path, signal, accept);
      },
    },
    ...{ namespaces, kinds: [], ownNamespace: 'own', configMaps: [], log: quiet },
    onUpdate: (update) => behind.push(update),
  });
  t.after(() => source.stop());
  const ahead = await rig.watchers.started({ namespaces });
  await waitUntil(() => behind.length > 0, 'the first update');
  const isAt = (updates: ViewUpdate[], key: string) => updates.at(-1)?.view.get('Service', key) !== undefined;
  await rig.api.apply(service('unseen', 1, 'still'));
  await waitUntil(() => isAt(ahead.updates, 'still/unseen'), 'the Service');
  await rig.api.apply(service('seen', 1, 'other'));
  await waitUntil(() => isAt(ahead.updates, 'other/seen') && isAt(behind, 'other/seen'), 'a later Service');
  const [has, holds] = [behind.at(-1)?.seen ?? {}, ahead.updates.at(-1)?.holds ?? {}];
  assert.deepEqual(kindsBehind(has, holds), ['Service still']);
  assert.deepEqual(kindsBehind(ahead.updates.at(-1)?.seen ?? {}, behind.at(-1)?.holds ?? {}), []);
});

test('of several ConfigMaps, too: what the watch of one has seen says nothing of another', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const configMap = (name: string, value: string): Manifest => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'default' },
    data: { value },
  });
  const configMaps = ['default/moving', 'default/still'];
  await rig.api.apply(configMap('moving', '1'), configMap('still', '1'));
  const cluster = await rig.watchers.cluster();
  const behind: ViewUpdate[] = [];
  const source = watchCluster({
    cluster: {
      ...cluster,
      call: (call) => cluster.call(call),
      async stream(path, signal, accept) {
        if (decodeURIComponent(path).includes('metadata.name=still')) await once(signal, 'abort');
        return await cluster.stream(path, signal, accept);
      },
    },
    ...{ namespaces: [], kinds: [], ownNamespace: 'own', configMaps, log: quiet },
    onUpdate: (update) => behind.push(update),
  });
  t.after(() => source.stop());
  const ahead = await rig.watchers.started({ configMaps });
  await waitUntil(() => behind.length > 0, 'the first update');
  const hasTwo = (updates: ViewUpdate[], key: string) =>
    updates.at(-1)?.view.get('ConfigMap', key)?.data['value'] === '2';
  await rig.api.apply(configMap('still', '2'));
  await waitUntil(() => hasTwo(ahead.updates, 'default/still'), 'the ConfigMap');
  await rig.api.apply(configMap('moving', '2'));
  await waitUntil(() => [ahead.updates, behind].every((each) => hasTwo(each, 'default/moving')), 'a later one');
  const [has, holds] = [behind.at(-1)?.seen ?? {}, ahead.updates.at(-1)?.holds ?? {}];
  assert.deepEqual(kindsBehind(has, holds), ['ConfigMap default/still']);
  assert.deepEqual(kindsBehind(ahead.updates.at(-1)?.seen ?? {}, behind.at(-1)?.holds ?? {}), []);
});

test('credentials that have changed on disk are read again when the old are refused', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const good = await rig.api.kubeconfig();
  const text = await readFile(good, 'utf8');
  const path = `${good}.rotating`;
  await writeFile(path, text.replace('admin-of-the-test', 'expired'));
  const cluster = await openCluster({ kubeconfig: path });
  t.after(() => cluster.close());
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
  t.after(() => byPlugin.close());
  assert.equal((await byPlugin.call({ path: '/api/v1/namespaces' })).status, 200);
  await assert.rejects(openCluster({ kubeconfig: `${good}.missing` }), /cannot be read/);
  await assert.rejects(openCluster({ kubeconfig: good, context: 'nowhere' }), /no context named nowhere/);
});
