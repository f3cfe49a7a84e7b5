import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { serviceAccounts } from '../../controller/publish/auth.ts';
import type { ApiAnswer, Cluster } from '../../controller/watch/api.ts';
import { TokenKeys } from '../../controller/watch/tokenkeys.ts';

test('tokens that come together wait for one look at the keys, which fails for all or for none', async () => {
  const calls: PromiseWithResolvers<ApiAnswer>[] = [];
  const call = () => {
    calls.push(Promise.withResolvers());
    return calls.at(-1)?.promise;
  };
  const keys = new TokenKeys({ call } as unknown as Cluster);
  const verify = () => keys.verify(token, 'sluice', 0);

  const early = Promise.allSettled([verify(), verify(), verify()]);
  calls[0]?.resolve({ status: 503, body: null, retryAfterMs: null });
  assert.deepEqual(
    (await early).map(({ status }) => status),
    ['rejected', 'rejected', 'rejected'],
  );
  assert.equal(calls.length, 1);

  const late = Promise.all([verify(), verify()]);
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'one' };
  calls[1]?.resolve({ status: 200, body: { keys: [jwk] }, retryAfterMs: null });
  const good = { ok: true, who: 'system:serviceaccount:sluice:proxy', node: null };
  assert.deepEqual(await late, [good, good]);
  assert.equal(calls.length, 2);
});

test('a key that is not understood, or an answer without any, spoils no other', async () => {
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'one' };
  const strange = [{ kty: 'AKP', alg: 'ML-DSA-99', pub: 'AAAA', kid: 'new' }, { kty: 'EC' }, null];
  const bodies = [{ error: 'of somebody in between' }, { keys: [...strange, jwk] }];
  const call = async () => ({ status: 200, body: bodies.shift(), retryAfterMs: null });
  const keys = new TokenKeys({ call } as unknown as Cluster);
  await assert.rejects(keys.verify(token, 'sluice', 0), /no list of keys/);
  assert.equal((await keys.verify(token, 'sluice', 0)).ok, true);
});

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const token = makeToken();

function makeToken(): string {
  const claims = { aud: ['sluice'], exp: 1, sub: 'system:serviceaccount:sluice:proxy' };
  const parts = [{ alg: 'ES256', kid: 'one' }, claims].map((part) =>
    Buffer.from(JSON.stringify(part)).toString('base64url'),
  );
  const signature = sign('sha256', Buffer.from(parts.join('.')), { key: privateKey, dsaEncoding: 'ieee-p1363' });
  return [...parts, signature.toString('base64url')].join('.');
}

test('tokens of strangers, and of thousands of nodes, make nobody forgotten', async () => {
  let reviews = 0;
  let isAway = false;
  const review = async (token: string) => {
    if (isAway) throw new Error('connection refused');
    reviews++;
    return token.startsWith('good')
      ? ({ ok: true, who: 'system:serviceaccount:edge:sluice-edge', node: null } as const)
      : ({ ok: false, reason: 'not authenticated' } as const);
  };
  const authorize = serviceAccounts(review, ['edge/sluice-edge'], () => 0);
  const nodes = Array.from({ length: 5_000 }, (_, i) => `good-${i}`);
  for (const token of nodes) await authorize(token);
  for (let i = 0; i < 10_000; i++) await authorize(`stranger-${i}`);
  reviews = 0;
  isAway = true;
  for (const token of nodes) assert.equal((await authorize(token)).ok, true, token);
  assert.equal(reviews, 0);
});
