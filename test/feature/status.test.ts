import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import type { Problem } from '#table/problem.ts';
import { publishedAddresses } from '../../controller/status/addresses.ts';
import { EventWriter } from '../../controller/status/events.ts';
import { StatusWriter } from '../../controller/status/writer.ts';
import type { Cluster } from '../../controller/watch/api.ts';
import type { ClusterSource } from '../../controller/watch/cluster.ts';
import type { ClusterView, ViewUpdate } from '../../controller/watch/view.ts';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { quiet } from '../kit/quiet.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;
let cluster: Cluster;
let source: ClusterSource;
let updates: readonly ViewUpdate[] = [];

before(async () => {
  if (skip) return;
  cluster = await rig.watchers.cluster();
  ({ source, updates } = await rig.watchers.begin({ cluster }));
});

const backend = { service: { name: 'web', port: { number: 80 } } };
const ingress = (name: string): Manifest => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name },
  spec: { defaultBackend: backend },
});

async function viewWith(...names: string[]): Promise<ClusterView> {
  const keys = names.map((name) => `default/${name}`);
  await waitUntil(() => keys.every((key) => updates.at(-1)?.view.get('Ingress', key)), 'the Ingresses');
  return (updates.at(-1) as ViewUpdate).view;
}

async function statusOf(name: string): Promise<{ ips: unknown; version: string }> {
  const { body } = await rig.api.call('GET', pathOf(ingress(name)));
  // Of one that is away for a moment it is a word.
  const status = body['status'] as { loadBalancer?: { ingress?: { ip: string }[] } };
  return {
    ips: status.loadBalancer?.ingress?.map(({ ip }) => ip) ?? [],
    version: body.metadata?.resourceVersion ?? '',
  };
}

const statusIs = async (name: string, ips: readonly string[]) =>
  await eventually(
    async () => (JSON.stringify((await statusOf(name)).ips) === JSON.stringify(ips) ? true : undefined),
    name,
  );

const nodes = () => [];

function newWriter(address: string): StatusWriter {
  const from = { addresses: [address], service: null };
  return new StatusWriter({ cluster, statuses: source.ingressStatuses, from, nodes, log: quiet });
}

test('statuses are written once, by the leader, after the table is applied', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(ingress('one'), ingress('two'), ingress('foreign'));
  const view = await viewWith('one', 'two', 'foreign');
  const ingresses = ['default/one', 'default/two'];
  const follower = newWriter('192.0.2.1');
  const writer = newWriter('192.0.2.1');
  follower.applied({ view, ingresses });
  writer.lead(true);
  assert.equal(writer.state().writes, 0);
  writer.applied({ view, ingresses });
  await statusIs('one', ['192.0.2.1']);
  await statusIs('two', ['192.0.2.1']);
  const before = await statusOf('one');
  // The same again, and again after a change of something else: a third Ingress shows that the writer has been through.
  writer.applied({ view, ingresses });
  await rig.api.apply(ingress('three'));
  writer.applied({ view: await viewWith('three'), ingresses: [...ingresses, 'default/three'] });
  await statusIs('three', ['192.0.2.1']);
  assert.equal((await statusOf('one')).version, before.version);
  await waitUntil(() => writer.state().writes >= 3, 'the last write to be counted');
  assert.deepEqual(writer.state(), { writes: 3, contested: 0 });
  assert.equal(follower.state().writes, 0);
  assert.deepEqual((await statusOf('foreign')).ips, []);
  writer.stop();
  follower.stop();
  assert.deepEqual((await statusOf('one')).ips, ['192.0.2.1']);
});

test('a write of a status is no change of the view', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(ingress('calm'));
  await viewWith('calm');
  const other = await rig.watchers.started({ cluster });
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.9' }] } };
  await rig.api.call('PATCH', `${pathOf(ingress('calm'))}/status`, { status });
  await waitUntil(
    () => other.source.ingressStatuses.get('default/calm')?.addresses.length === 1,
    'the status to be seen',
  );
  await rig.api.apply(ingress('marker'));
  await waitUntil(() => other.updates.at(-1)?.view.get('Ingress', 'default/marker') !== undefined, 'the next change');
  assert.deepEqual(other.taken(), ['default/marker']);
});

test('another writer is not fought', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(ingress('contested'));
  const view = await viewWith('contested');
  const writer = newWriter('192.0.2.2');
  writer.lead(true);
  writer.applied({ view, ingresses: ['default/contested'] });
  await statusIs('contested', ['192.0.2.2']);
  const status = { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } };
  await waitUntil(() => writer.state().writes === 1, 'the first write');
  await rig.api.call('PATCH', `${pathOf(ingress('contested'))}/status`, { status });
  await waitUntil(() => writer.state().contested === 1, 'the other writer to be noticed');
  assert.equal(writer.state().writes, 1);
  assert.deepEqual((await statusOf('contested')).ips, ['198.51.100.7']);
  writer.stop();
});

test('an Ingress that is deleted and made anew has its status again at once, and nobody is blamed', {
  skip,
  timeout: 60_000,
}, async () => {
  await rig.api.apply(ingress('anew'));
  const view = await viewWith('anew');
  const heard: string[] = [];
  const log = { ...quiet, warn: (_fields: object, message: string) => heard.push(message) };
  const writer = new StatusWriter({
    cluster,
    statuses: source.ingressStatuses,
    from: { addresses: ['192.0.2.3'], service: null },
    nodes,
    log,
  });
  writer.lead(true);
  writer.applied({ view, ingresses: ['default/anew'] });
  await statusIs('anew', ['192.0.2.3']);
  await waitUntil(() => writer.state().writes === 1, 'the first write');
  await rig.api.delete(ingress('anew'));
  await rig.api.apply(ingress('anew'));
  await statusIs('anew', ['192.0.2.3']);
  assert.deepEqual(heard, []);
  writer.stop();
});

for (const [what, isBefore] of [
  ['before', true],
  ['after', false],
] as const) {
  test(`an Ingress that is made anew ${what} a write to the one before it comes has its status`, {
    skip,
    timeout: 60_000,
  }, async () => {
    const name = `late-${what}`;
    await rig.api.apply(ingress(name));
    const view = await viewWith(name);
    const answers: number[] = [];
    const late: Cluster = {
      ...cluster,
      async call(options) {
        const isFirst = answers.length === 0;
        if (isFirst) await rig.api.delete(ingress(name));
        if (isFirst && isBefore) await rig.api.apply(ingress(name));
        const answer = await cluster.call(options);
        answers.push(answer.status);
        if (isFirst && !isBefore) await rig.api.apply(ingress(name));
        return answer;
      },
    };
    const from = { addresses: ['192.0.2.4'], service: null };
    const writer = new StatusWriter({ cluster: late, statuses: source.ingressStatuses, from, nodes, log: quiet });
    writer.lead(true);
    writer.applied({ view, ingresses: [`default/${name}`] });
    await statusIs(name, ['192.0.2.4']);
    await waitUntil(() => writer.state().writes === 1, 'the write to be counted');
    assert.deepEqual(answers, [isBefore ? 422 : 404, 200]);
    writer.stop();
  });
}

test('a problem is one Event on its object, also when told again by another leader', {
  skip,
  timeout: 60_000,
}, async () => {
  await rig.api.apply(ingress('troubled'));
  const view = await viewWith('troubled');
  const problem: Problem = {
    code: 'ServiceNotFound',
    severity: 'error',
    source: { kind: 'Ingress', namespace: 'default', name: 'troubled', field: 'spec.defaultBackend' },
    message: 'Service default/web does not exist.',
    hint: 'Create it.',
  };
  const other = { ...problem, code: 'ServicePortNotFound', message: 'Service default/web has no port 80.' };
  const newEvents = (instance: string) =>
    new EventWriter({ cluster, controller: 'sluice.dev/ingress-controller', instance, log: quiet });
  const [one, two] = [newEvents('one'), newEvents('two')];
  one.report([problem], view);
  two.report([problem], view);
  one.lead(true);
  assert.equal((await eventsOf('troubled', 1)).length, 1);
  one.report([problem, other], view);
  await eventsOf('troubled', 2);
  one.lead(false);
  two.lead(true);
  // Gone and back: the same Event, counted on. `two` has told it before, so this shows that it was not made twice.
  two.report([], view);
  two.report([problem], view);
  const counted = await eventually(async () => {
    const found = (await eventsOf('troubled', 2)).find(({ reason }) => reason === 'ServiceNotFound');
    return found?.series ? found : undefined;
  }, 'the Event to be counted');
  assert.equal(counted.series?.count, 2);
  assert.equal(counted.regarding.uid, view.get('Ingress', 'default/troubled')?.metadata.uid);
  assert.match(counted.note, /spec\.defaultBackend: Service default\/web does not exist\. Create it\./);
  one.stop();
  two.stop();
});

test('of more that waits than can be told soon the oldest goes, also while Events are written', {
  skip,
  timeout: 60_000,
}, async () => {
  const first = Promise.withResolvers<void>();
  const posted: string[] = [];
  const stuck: Cluster = {
    ...cluster,
    async call({ body }) {
      posted.push((body as SeenEvent).note);
      if (posted.length === 1) await first.promise;
      return { status: 201, body: null, retryAfterMs: null };
    },
  };
  const writer = new EventWriter({ cluster: stuck, controller: 'sluice.dev/test', instance: 'one', log: quiet });
  const source = { kind: 'Service', namespace: 'default', name: 'web' };
  const tell = (message: string) => writer.tell({ reason: 'Told', action: 'Write', source, uid: 'u', message });
  writer.lead(true);
  tell('at once');
  await waitUntil(() => posted.length === 1, 'the first write');
  for (let i = 1; i <= 1_100; i++) tell(`news ${i}`);
  first.resolve();
  await waitUntil(() => posted.length > 1, 'the second write');
  assert.equal(posted[1], 'news 101');
  writer.stop();
});

interface SeenEvent {
  reason: string;
  note: string;
  series?: { count: number };
  regarding: { uid: string; name: string };
}

async function eventsOf(name: string, count: number): Promise<SeenEvent[]> {
  return await eventually(async () => {
    const { body } = await rig.api.call('GET', '/apis/events.k8s.io/v1/namespaces/default/events');
    const events = (body['items'] as SeenEvent[]).filter(({ regarding }) => regarding.name === name);
    return events.length >= count ? events : undefined;
  }, `${count} Events`);
}

test('addresses come from settings, a Service or the nodes of the proxies', { skip, timeout: 60_000 }, async () => {
  const service: Manifest = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'front' },
    spec: { type: 'LoadBalancer', ports: [{ port: 80 }], externalIPs: ['203.0.113.4'] },
  };
  const node: Manifest = { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n1' } };
  await rig.api.apply(service, node);
  await rig.api.call('PATCH', `${pathOf(service)}/status`, {
    status: { loadBalancer: { ingress: [{ ip: '203.0.113.3' }, { hostname: 'lb.example' }] } },
  });
  await rig.api.call('PATCH', `${pathOf(node)}/status`, {
    status: {
      addresses: [
        { type: 'Hostname', address: 'n1' },
        { type: 'InternalIP', address: '10.0.0.9' },
      ],
    },
  });
  const isThere = () =>
    updates.at(-1)?.view.get('Service', 'default/front')?.status?.loadBalancer?.ingress.length === 2 &&
    updates.at(-1)?.view.get('Node', '/n1')?.status.addresses.length === 2;
  await waitUntil(() => isThere(), 'the addresses in the view');
  const view = (updates.at(-1) as ViewUpdate).view;
  const none = { addresses: [], service: null };
  assert.deepEqual(publishedAddresses({ addresses: ['front.example', '::1', '::1'], service: null }, view, []), [
    { hostname: 'front.example' },
    { ip: '::1' },
  ]);
  assert.deepEqual(publishedAddresses({ ...none, service: 'default/front' }, view, ['n1']), [
    { hostname: 'lb.example' },
    { ip: '203.0.113.3' },
    { ip: '203.0.113.4' },
  ]);
  assert.deepEqual(publishedAddresses(none, view, ['n1', 'n1', 'gone']), [{ ip: '10.0.0.9' }]);
});

test('the operator hears once that there is no address to write', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(ingress('waiting'));
  const view = await viewWith('waiting');
  const heard: string[] = [];
  const log = { ...quiet, warn: (_fields: object, message: string) => heard.push(message) };
  const from = { addresses: [], service: 'default/nowhere' };
  const writer = new StatusWriter({ cluster, statuses: source.ingressStatuses, from, nodes, log });
  const table = { view, ingresses: ['default/waiting'] };
  writer.applied(table);
  writer.applied(table);
  writer.stop();
  assert.equal(heard.length, 1);
  assert.match(heard[0] ?? '', /Service default\/nowhere of --publish-service does not exist or has no address yet/);
});

test('what was changed while another led is written again', { skip, timeout: 60_000 }, async () => {
  await rig.api.apply(ingress('led'));
  const view = await viewWith('led');
  const writer = newWriter('192.0.2.5');
  writer.lead(true);
  writer.applied({ view, ingresses: ['default/led'] });
  await statusIs('led', ['192.0.2.5']);
  await waitUntil(() => writer.state().writes === 1, 'the first write');
  writer.lead(false);
  const status = { loadBalancer: { ingress: [{ ip: '192.0.2.6' }] } };
  await rig.api.call('PATCH', `${pathOf(ingress('led'))}/status`, { status });
  const seen = () => JSON.stringify(source.ingressStatuses.get('default/led')?.addresses);
  await waitUntil(() => seen() === '[{"ip":"192.0.2.6"}]', 'the change to be seen');
  writer.lead(true);
  await statusIs('led', ['192.0.2.5']);
  writer.stop();
});

test('a status that a restore from backup has lost is written again', { skip, timeout: 120_000 }, async () => {
  await rig.api.apply(ingress('restored'));
  const view = await viewWith('restored');
  await rig.api.backup();
  const writer = newWriter('192.0.2.8');
  writer.lead(true);
  writer.applied({ view, ingresses: ['default/restored'] });
  await statusIs('restored', ['192.0.2.8']);
  const ips = () => source.ingressStatuses.get('default/restored')?.addresses.length;
  await waitUntil(() => writer.state().writes === 1 && ips() === 1, 'the first write');
  await rig.api.restore();
  await waitUntil(() => writer.state().writes >= 2, 'the second write');
  await statusIs('restored', ['192.0.2.8']);
  writer.stop();
});
