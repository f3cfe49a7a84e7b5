import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { ApiAnswer } from '../../controller/watch/api.ts';
import { SecretLookups } from '../../controller/watch/secrets.ts';
import { quiet } from '../kit/quiet.ts';
import { waitUntil } from '../kit/wait.ts';
import { watchedApi } from '../kit/watching.ts';

const rig = await watchedApi();
const { skip } = rig;

afterEach(() => rig.endWatchers());

/** Lookups that have listed the namespace; what answers those that come into use later is told by the test. */
async function startLookups(answer: () => ApiAnswer | null, put: (key: string) => void): Promise<SecretLookups> {
  const cluster = await rig.watchers.cluster();
  const lookups = new SecretLookups({
    cluster: {
      ...cluster,
      async call(call) {
        const isLater = call.path.includes('fieldSelector=metadata.name');
        return (isLater ? answer() : null) ?? (await cluster.call(call));
      },
    },
    log: quiet,
    random: () => 0,
    sink: {
      isNews: () => true,
      put: ({ key }) => put(key),
      remove: () => undefined,
      seen: () => undefined,
      bookmarked: () => undefined,
    },
    forget: () => undefined,
    settled: () => undefined,
  });
  await waitUntil(() => lookups.use(new Set(['default/first'])).size === 0, 'the first list');
  return lookups;
}

test('tables wait for Secrets that do not come, and not for ever while further ones come into use', {
  skip,
  timeout: 90_000,
}, async (t) => {
  // As where the keys that Secrets are encrypted with cannot be had.
  const lookups = await startLookups(
    () => ({ status: 500, body: null, retryAfterMs: null }),
    () => undefined,
  );
  t.after(() => lookups.stop());
  const keys = ['default/first'];
  const next = () => {
    keys.push(`default/tls-${keys.length}`);
    return lookups.use(new Set(keys));
  };
  assert.notEqual(next().size, 0);
  await waitUntil(() => next().size === 0, 'a table while Secrets come into use');
  assert.notEqual(next().size, 0);
});

for (const [status, who] of [
  [429, 'that has too much to do'],
  [401, 'that cannot check who asks'],
  [302, 'behind somebody to log in with'],
] as const) {
  test(`an API server ${who} says nothing of a Secret`, { skip, timeout: 60_000 }, async (t) => {
    const metadata = { name: `later-${status}` };
    const key = `default/later-${status}`;
    await rig.api.apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { value: '1' } });
    const told: string[] = [];
    const asked = Promise.withResolvers<void>();
    const lookups = await startLookups(
      () => {
        asked.resolve();
        return told.push('asked') === 1 ? { status, body: null, retryAfterMs: 10 } : null;
      },
      (key) => told.push(key),
    );
    t.after(() => lookups.stop());
    const keys = new Set(['default/first', key]);
    lookups.use(keys);
    await asked.promise;
    await setImmediate();
    assert.deepEqual(lookups.use(keys), new Set([key]), 'it is still waited for');
    await waitUntil(() => told.includes(key), 'the Secret');
    assert.deepEqual(told, ['asked', 'asked', key]);
  });
}
