import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownWatchedKinds } from '../../controller/watch/kinds.ts';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { addressPool, announcement, installOwnKinds, ownDefinitions } from '../kit/ownkinds.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { service, type Watching, watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

test('kinds that the cluster does not have hold up nothing, and are found when they come, go and come back', {
  skip,
  timeout: 120_000,
}, async () => {
  await rig.api.apply(service('early'));
  const watch = await rig.watchers.started({ kinds: ownWatchedKinds });
  assert.ok(viewOf(watch).get('Service', 'default/early'));
  assert.deepEqual([...viewOf(watch).all('AddressPool')], []);
  const { failure, isSynced } = watch.source.state()['AddressPool'] ?? {};
  assert.deepEqual({ failure, isSynced }, { failure: null, isSynced: false });

  const pool = addressPool('public', { addresses: ['192.0.2.0/24'] });
  await installOwnKinds(rig.api);
  await rig.api.apply(pool);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') !== undefined, 'the pool');
  assert.equal(viewOf(watch).get('AddressPool', '/public')?.spec.autoAssign, true);

  const [definition] = ownDefinitions();
  assert.ok(definition);
  await rig.api.delete(definition);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') === undefined, 'the pool to go with its kind');
  await isGone(definition);
  await installOwnKinds(rig.api);
  await rig.api.apply(pool);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') !== undefined, 'the pool to come back');
  assert.deepEqual(watch.updates.at(-1)?.unreadable, []);
});

test('a plan is made of all kinds: while one is refused, there is no first update', {
  skip,
  timeout: 60_000,
}, async () => {
  await installOwnKinds(rig.api);
  await rig.api.apply(announcement('all', { l2: {} }));
  const cluster = await rig.watchers.cluster();
  // As an API server answers that has not read its roles yet.
  const refused = { status: 403, body: { message: 'forbidden' }, retryAfterMs: null };
  for (const plural of ['announcements', 'nodes', 'namespaces']) {
    let isStarting = true;
    const watch = await rig.watchers.begin({
      kinds: ownWatchedKinds,
      cluster: {
        ...cluster,
        stream: (...args) => cluster.stream(...args),
        call: async (call) => (isStarting && call.path.includes(`/${plural}?`) ? refused : await cluster.call(call)),
      },
    });
    const states = () => Object.values(watch.source.state());
    await waitUntil(() => states().filter(({ isSynced }) => !isSynced).length === 1, 'all but one');
    await waitUntil(() => states().some(({ failure }) => failure !== null), 'the refusal');
    assert.deepEqual(watch.updates, [], plural);
    isStarting = false;
    await waitUntil(() => watch.updates.length > 0, 'the first update');
    assert.ok(viewOf(watch).get('Announcement', '/all'));
  }
});

async function isGone(object: Manifest): Promise<void> {
  await eventually(
    async () => (await rig.api.call('GET', pathOf(object))).status === 404 || undefined,
    `${object.kind} ${object.metadata.name} to be gone`,
  );
}

function viewOf(watch: Watching) {
  const view = watch.updates.at(-1)?.view;
  assert.ok(view);
  return view;
}
