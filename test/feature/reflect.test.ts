import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { baseKinds, type WatchedKind } from '../../controller/watch/kinds.ts';
import { Reflector } from '../../controller/watch/reflect.ts';
import type { ViewUpdate } from '../../controller/watch/view.ts';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { quiet } from '../kit/quiet.ts';
import { Relay } from '../kit/relay.ts';
import { waitUntil } from '../kit/wait.ts';
import { service, type Watching, watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

let relay: Relay;

before(async () => {
  if (skip) return;
  relay = new Relay(Number(new URL(rig.api.url).port));
  await relay.mend();
});

afterEach(() => rig.endWatchers());

after(() => relay?.cut());

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
  await rig.api.apply(service('early'));
  const watch = await rig.watchers.started();
  assert.equal(portOf(watch, 'early'), 80);
  // The API server makes its own Service a while after it is ready.
  await waitUntil(() => portOf(watch, 'kubernetes') !== undefined, 'the Service of the API server');
  watch.taken();
  await rig.api.apply(service('a', 80));
  await hasPort(watch, 'a', 80);
  await rig.api.apply(service('a', 81));
  await hasPort(watch, 'a', 81);
  assert.deepEqual(watch.taken(), ['default/a', 'default/a']);
  const { seen, holds } = watch.updates.at(-1) as ViewUpdate;
  assert.equal(seen['Service'], holds['Service']);
  // Another manager of the same fields, and the annotation of kubectl: metadata, and nothing that matters.
  const path = pathOf(service('a'));
  const noise = { 'kubectl.kubernetes.io/last-applied-configuration': '{}' };
  await rig.api.call('PATCH', path, { metadata: { annotations: noise } });
  await rig.api.apply(service('b'));
  await hasPort(watch, 'b', 80);
  assert.deepEqual(watch.taken(), ['default/b']);
  await rig.api.delete(service('a'), service('b'), service('early'));
  await hasPort(watch, 'early', undefined);
  assert.deepEqual(watch.taken().sort(), ['default/a', 'default/b', 'default/early']);
});

test('a lost connection changes nothing, and what happened meanwhile is told after it', {
  skip,
  timeout: 60_000,
}, async () => {
  await rig.api.apply(service('kept', 1), service('changed', 1), service('gone', 1), service('replaced', 1));
  const watch = await rig.watchers.started({ url: relay.url });
  const uid = watch.updates.at(-1)?.view.get('Service', 'default/replaced')?.metadata.uid;
  await relay.cut();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  await rig.api.delete(service('gone'), service('replaced'));
  await rig.api.apply(service('changed', 2), service('replaced', 1), service('new', 1));
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
  await rig.api.delete(service('kept'), service('changed'), service('replaced'), service('new'));
});

test('a place in history that is forgotten (410) leads to a list, and only the difference is told', {
  skip,
  timeout: 120_000,
}, async () => {
  await rig.api.apply(service('kept', 1), service('changed', 1), service('gone', 1));
  const watch = await rig.watchers.started({ url: relay.url });
  await relay.cut();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  await rig.api.delete(service('gone'));
  await rig.api.apply(service('changed', 2));
  await rig.api.compact();
  await rig.api.stopApi();
  await rig.api.startApi();
  await relay.mend();
  await hasPort(watch, 'changed', 2);
  assert.equal(watch.source.state()['Service']?.relists, 1);
  assert.deepEqual(watch.taken().sort(), ['default/changed', 'default/gone']);
  assert.equal(portOf(watch, 'kept'), 1);
  // A deletion that is only known from a list is held up to that list.
  const { seen, holds } = watch.updates.at(-1) as ViewUpdate;
  assert.equal(seen['Service'], holds['Service']);
  await rig.api.apply(service('changed', 3));
  await hasPort(watch, 'changed', 3);
  await rig.api.delete(service('kept'), service('changed'));
});

test('an API server that dies and comes back is followed again', { skip, timeout: 120_000 }, async () => {
  await rig.api.apply(service('a', 1));
  const watch = await rig.watchers.started();
  await rig.api.stopApi();
  await waitUntil(() => watch.source.state()['Service']?.failure !== null, 'the loss to be noticed');
  assert.equal(portOf(watch, 'a'), 1);
  await rig.api.startApi();
  await rig.api.apply(service('a', 2));
  await hasPort(watch, 'a', 2);
  assert.deepEqual(watch.taken(), ['default/a']);
  await rig.api.delete(service('a'));
});

test('data restored from an older backup are believed', { skip, timeout: 120_000 }, async () => {
  await rig.api.apply(service('a', 1));
  await rig.api.backup();
  const told = new Set<string>();
  const warn = (_: object, message: string) => told.add(message);
  const watch = await rig.watchers.started({ url: relay.url, log: { ...quiet, warn } });
  await rig.api.apply(service('a', 2), service('b', 1));
  await hasPort(watch, 'b', 1);
  await relay.cut();
  await rig.api.restore();
  await relay.mend();
  await hasPort(watch, 'b', undefined);
  assert.equal(portOf(watch, 'a'), 1);
  assert.ok([...told].some((message) => message.startsWith('the API server has gone back in time')));
  await rig.api.apply(service('a', 3));
  await hasPort(watch, 'a', 3);
  await rig.api.delete(service('a'));
});

test('whatever happens in whatever order, with the wire cut in between: in the end the view is what is there', {
  skip,
  timeout: 120_000,
}, async () => {
  const watch = await rig.watchers.started({ url: relay.url });
  const random = randomFrom(20_260_101);
  const pick = (count: number) => Math.floor(random() * count);
  const existing = new Set<string>();
  for (let step = 0; step < 300; step++) {
    const name = `random-${pick(12)}`;
    if (step % 60 === 30) await relay.cut();
    if (step % 60 === 50) await relay.mend();
    if (existing.has(name) && pick(3) === 0) {
      await rig.api.delete(service(name));
      existing.delete(name);
    } else {
      await rig.api.apply(service(name, 1 + pick(9)));
      existing.add(name);
    }
  }
  await rig.api.apply(service('last'));
  await hasPort(watch, 'last', 80);
  const fresh = await rig.watchers.started();
  const servicesOf = ({ updates }: Watching) =>
    new Map([...(updates.at(-1)?.view.all('Service') ?? [])].map((object) => [object.metadata.name, object]));
  assert.deepEqual(servicesOf(watch), servicesOf(fresh));
  assert.ok([...existing].every((name) => servicesOf(fresh).has(name)));
  await rig.api.delete(service('last'), ...[...existing].map((name) => service(name)));
});

/** A small generator (mulberry32), so that every run does the same. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

test('more objects than fit on a page all come before the first update', { skip, timeout: 120_000 }, async () => {
  const names = Array.from({ length: 1201 }, (_, index) => `many-${index}`);
  for (let start = 0; start < names.length; start += 50) {
    await Promise.all(names.slice(start, start + 50).map((name) => rig.api.apply(ingress(name))));
  }
  const watch = await rig.watchers.started();
  const [first] = watch.updates as [ViewUpdate];
  assert.equal([...first.view.all('Ingress')].length, names.length);
  assert.equal(first.changes.filter(({ kind }) => kind === 'Ingress').length, names.length);
  const { status } = await rig.api.call('DELETE', '/apis/networking.k8s.io/v1/namespaces/default/ingresses');
  assert.equal(status, 200);
  await waitUntil(() => [...first.view.all('Ingress')].length === 0, 'all to be gone');
});

test('a watch that goes silent is given up and taken up again', { skip, timeout: 60_000 }, async (t) => {
  const heard: string[] = [];
  const reflector = new Reflector({
    cluster: await rig.watchers.cluster(),
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
  reflector.start();
  t.after(() => reflector.stop());
  await waitUntil(() => heard.includes('listed'), 'the list');
  await rig.api.apply(service('before-the-silence'));
  await waitUntil(() => heard.includes('default/before-the-silence'), 'the watch');
  rig.api.freezeApi();
  try {
    await waitUntil(() => /nothing heard/.test(reflector.state().failure ?? ''), 'the silence to be noticed');
  } finally {
    rig.api.thawApi();
  }
  await rig.api.apply(service('after-the-silence'));
  await waitUntil(() => heard.includes('default/after-the-silence'), 'the watch to go on');
  await rig.api.delete(service('before-the-silence'), service('after-the-silence'));
});

test('a kind of which a proxy holds more than was seen here is listed anew, and its next bookmark is not waited for', {
  skip,
  timeout: 60_000,
}, async () => {
  const watch = await rig.watchers.started();
  const seen = () => watch.updates.at(-1)?.seen['Service'] ?? 0;
  // Of another kind: the watch of Services says nothing of it.
  const [account] = await rig.api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'moves-on' } });
  const version = Number(account?.metadata?.resourceVersion);
  assert.ok(seen() < version);
  await waitUntil(() => {
    watch.source.lookAnew('Service');
    return seen() >= version;
  }, 'the list');
  const { relists, failure } = watch.source.state()['Service'] ?? {};
  assert.deepEqual({ relists, failure }, { relists: 1, failure: null });
  assert.equal(watch.source.state()['Ingress']?.relists, 0);
  await rig.api.apply(service('after-the-list'));
  await hasPort(watch, 'after-the-list', 80);
  await rig.api.delete(service('after-the-list'));
});
