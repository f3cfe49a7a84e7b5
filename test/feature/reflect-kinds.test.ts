import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ownWatchedKinds } from '../../controller/watch/kinds.ts';
import { type ApiServer, type Manifest, pathOf, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { addressPool, installOwnKinds, ownDefinitions } from '../kit/ownkinds.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { service, Watchers, type Watching } from '../kit/watching.ts';

const skip = await skipWithoutApiServer();
let api: ApiServer;
let watchers: Watchers;

before(async () => {
  if (skip) return;
  api = await startApiServer();
  watchers = new Watchers(api);
});

after(async () => {
  if (skip) return;
  await watchers.stop();
  await api.stop();
});

test('kinds that the cluster does not have hold up nothing, and are found when they come, go and come back', {
  skip,
  timeout: 120_000,
}, async () => {
  await api.apply(service('early'));
  const watch = await watchers.started({ kinds: ownWatchedKinds });
  assert.ok(viewOf(watch).get('Service', 'default/early'));
  assert.deepEqual([...viewOf(watch).all('AddressPool')], []);
  const { failure, isSynced } = watch.source.state()['AddressPool'] ?? {};
  assert.deepEqual({ failure, isSynced }, { failure: null, isSynced: false });

  const pool = addressPool('public', { addresses: ['192.0.2.0/24'] });
  await installOwnKinds(api);
  await api.apply(pool);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') !== undefined, 'the pool');
  assert.equal(viewOf(watch).get('AddressPool', '/public')?.spec.autoAssign, true);

  const [definition] = ownDefinitions();
  assert.ok(definition);
  await api.delete(definition);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') === undefined, 'the pool to go with its kind');
  await isGone(definition);
  await installOwnKinds(api);
  await api.apply(pool);
  await waitUntil(() => viewOf(watch).get('AddressPool', '/public') !== undefined, 'the pool to come back');
  assert.deepEqual(watch.updates.at(-1)?.unreadable, []);
});

async function isGone(object: Manifest): Promise<void> {
  await eventually(
    async () => (await api.call('GET', pathOf(object))).status === 404 || undefined,
    `${object.kind} ${object.metadata.name} to be gone`,
  );
}

function viewOf(watch: Watching) {
  const view = watch.updates.at(-1)?.view;
  assert.ok(view);
  return view;
}
