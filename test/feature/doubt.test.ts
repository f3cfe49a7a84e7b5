import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Doubt } from '../../controller/watch/doubt.ts';
import type { Manifest } from '../kit/apiserver.ts';
import { waitUntil } from '../kit/wait.ts';
import { watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

test('while nothing is heard of the nodes, and a while after, it is doubted, too', { skip }, async () => {
  await rig.api.apply({ ...slice(true), metadata: { ...slice().metadata, name: 'known' } });
  const { updates } = await rig.watchers.started();
  const view = updates.at(-1)?.view;
  const known = view?.get('EndpointSlice', 'default/known');
  assert.ok(view && known);
  const gone = { ...known, endpoints: known.endpoints.map((each) => ({ ...each, conditions: { ready: false } })) };
  const doubt = new Doubt<string>(1_000);
  const isWithheld = (nowMs: number) => doubt.withholds('news', 'default/known', gone, view, nowMs) !== null;
  doubt.look([], 0);
  assert.equal(isWithheld(0), false);
  doubt.look(null, 10);
  assert.equal(isWithheld(10), true);
  assert.equal(doubt.waitMs(10), null);
  doubt.look([], 20);
  assert.equal(doubt.waitMs(20), 1_000);
  assert.equal(isWithheld(1_019), true);
  assert.deepEqual(doubt.release(), ['news']);
  assert.equal(isWithheld(1_020), false);
});

const slice = (...ready: boolean[]): Manifest => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'web', labels: { 'kubernetes.io/service-name': 'web' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  endpoints: ready.map((isReady, i) => ({ addresses: [`10.0.0.${i + 1}`], conditions: { ready: isReady } })),
});

test('after all nodes were silent at once, nobody believes that all pods are unready, for a while', {
  skip,
  timeout: 120_000,
}, async () => {
  for (const name of ['n1', 'n2']) await rig.api.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name } });
  await rig.api.apply(slice(true, true));
  // Too long to pass by itself within the test, and so short that its end is waited for.
  const patient = await rig.watchers.started({ doubtMs: 600_000 });
  const hasty = await rig.watchers.started({ doubtMs: 1 });
  const all = [patient, hasty];
  const readyOf = ({ updates }: typeof patient) =>
    updates
      .at(-1)
      ?.view.get('EndpointSlice', 'default/web')
      ?.endpoints.map(({ conditions }) => conditions?.ready);
  const seen = (watch: typeof patient) => watch.updates.at(-1)?.seen['EndpointSlice'] ?? 0;
  const say = async (status: string, ...names: string[]) => {
    for (const name of names) {
      const conditions = [{ type: 'Ready', status }];
      await rig.api.call('PATCH', `/api/v1/nodes/${name}/status`, { status: { conditions } });
    }
    const statusOf = (watch: typeof patient, name: string) =>
      watch.updates
        .at(-1)
        ?.view.get('Node', `/${name}`)
        ?.status.conditions.find(({ type }) => type === 'Ready')?.status;
    await waitUntil(
      () => all.every((watch) => names.every((name) => statusOf(watch, name) === status)),
      `${status} of nodes`,
    );
  };
  const put = async (...ready: boolean[]) => {
    const before = all.map(seen);
    await rig.api.apply(slice(...ready));
    // Something that comes after it, and changes what is told.
    await rig.api.apply({
      ...slice(true),
      metadata: { ...slice().metadata, name: 'later', labels: { at: String(Math.random()).slice(2) } },
    });
    await waitUntil(() => all.every((watch, i) => seen(watch) > (before[i] ?? 0) + 1), 'it to be seen');
  };

  await say('True', 'n1', 'n2');
  await put(false, false);
  assert.deepEqual(
    all.map(readyOf),
    [
      [false, false],
      [false, false],
    ],
    'nodes are well: it is so',
  );
  await put(true, true);

  await say('Unknown', 'n1');
  await put(false, true);
  assert.deepEqual(readyOf(patient), [false, true], 'one node is silent: it is so');
  await say('Unknown', 'n2');
  await put(false, false);
  assert.deepEqual(
    all.map(readyOf),
    [
      [false, true],
      [false, true],
    ],
    'nobody can know',
  );

  await put(false);
  assert.deepEqual(all.map(readyOf), [[false], [false]], 'but who is gone is, though others are unready');
  await put(true, true);
  await put(false);
  assert.deepEqual(all.map(readyOf), [[true], [true]], 'and who stays is doubted as before');

  await say('True', 'n1');
  await waitUntil(() => readyOf(hasty)?.[0] === false, 'the end of doubt');
  assert.deepEqual(readyOf(patient), [true]);
  await put(true, false);
  assert.deepEqual(
    all.map(readyOf),
    [
      [true, false],
      [true, false],
    ],
    'one is ready: it is so',
  );
  await put(true, true);
  await put();
  assert.deepEqual(all.map(readyOf), [[], []], 'all are gone: no silence of nodes does that');
  await put(true, true);
  const ending = slice(false, false);
  const endpoints = ending['endpoints'] as { conditions: object }[];
  for (const each of endpoints) each.conditions = { ready: false, serving: true, terminating: true };
  await rig.api.apply(ending);
  await waitUntil(() => all.every((watch) => readyOf(watch)?.[0] === false), 'that all are ending to be believed');
  await put(true, true);
  await rig.api.delete(slice(true, true));
  await waitUntil(() => all.every((watch) => readyOf(watch) === undefined), 'it to be gone');
});

test('a refusal of an API server that starts is forgotten: when nothing is heard of nodes later, it is doubted', {
  skip,
  timeout: 60_000,
}, async () => {
  const named = (name: string, ...ready: boolean[]) => ({
    ...slice(...ready),
    metadata: { ...slice().metadata, name },
  });
  await rig.api.apply(named('later', true));
  const real = await rig.watchers.cluster();
  const refusal = { status: 403, body: { message: 'forbidden' }, retryAfterMs: null };
  const isOfNodes = (path: string) => path.startsWith('/api/v1/nodes?');
  const cut = new AbortController();
  let isStarting = true;
  const { source, updates } = await rig.watchers.started({
    doubtMs: 600_000,
    cluster: {
      ...real,
      async call(call) {
        if (isOfNodes(call.path) && isStarting) return refusal;
        if (isOfNodes(call.path)) cut.signal.throwIfAborted();
        return await real.call(call);
      },
      async stream(path, signal, ...rest) {
        return await real.stream(path, isOfNodes(path) ? AbortSignal.any([signal, cut.signal]) : signal, ...rest);
      },
    },
  });
  const isReady = (name: string) =>
    updates.at(-1)?.view.get('EndpointSlice', `default/${name}`)?.endpoints[0]?.conditions?.ready;
  assert.match(source.state()['Node']?.failure ?? '', /^403/);
  isStarting = false;
  await waitUntil(() => source.state()['Node']?.failure === null, 'the nodes');
  cut.abort();
  await waitUntil(() => source.state()['Node']?.failure !== null, 'that they are silent');
  await rig.api.apply(named('later', false));
  await rig.api.apply(named('last', true));
  await waitUntil(() => isReady('last') === true, 'what comes after it');
  assert.equal(isReady('later'), true);
  await rig.api.delete(named('later'));
  await rig.api.delete(named('last'));
});
