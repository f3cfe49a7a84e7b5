import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
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
