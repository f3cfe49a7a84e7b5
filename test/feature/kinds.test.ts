import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ApiServer, type Manifest, pathOf, startApiServer } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { addressPool, announcement, bgpPeer, installOwnKinds, ownDefinitions } from '../kit/ownkinds.ts';

const skip = await skipWithoutApiServer();
let api: ApiServer;

before(async () => {
  if (skip) return;
  api = await startApiServer();
  await installOwnKinds(api);
});

after(async () => {
  if (!skip) await api.stop();
});

const peer = { address: '192.0.2.254', peerASN: 64_512, localASN: 64_513 };

test('the API server takes the definitions as they are, and drops nothing of them', { skip }, async () => {
  for (const definition of ownDefinitions()) {
    const { body } = await api.call('GET', pathOf(definition));
    const [sent, kept] = [definition['spec'], body['spec']] as { versions: unknown }[];
    assert.deepEqual(kept?.versions, sent?.versions);
  }
});

test('the API server fills in what is left out', { skip }, async () => {
  const [pool] = await api.apply(addressPool('plain', { addresses: ['192.0.2.0/24'] }));
  assert.deepEqual(pool?.['spec'], { addresses: ['192.0.2.0/24'], autoAssign: true, avoidBuggyIPs: false });
  const [router] = await api.apply(bgpPeer('plain', { ...peer, bfd: {}, gracefulRestart: {} }));
  assert.deepEqual(router?.['spec'], {
    ...peer,
    port: 179,
    holdTimeSeconds: 90,
    connectRetrySeconds: 2,
    bfd: {
      receiveIntervalMilliseconds: 300,
      transmitIntervalMilliseconds: 300,
      detectMultiplier: 3,
      passive: false,
    },
    gracefulRestart: { restartTimeSeconds: 120 },
  });
  const [told] = await api.apply(announcement('plain', { bgp: { communities: ['65000:1', 'no-export'] }, l2: {} }));
  const lengths = { aggregationLengthIPv4: 32, aggregationLengthIPv6: 128 };
  assert.deepEqual(told?.['spec'], { bgp: { communities: ['65000:1', 'no-export'], ...lengths }, l2: {} });
});

const refused: [what: string, object: Manifest, reason: RegExp][] = [
  ['a pool of nothing', addressPool('no', { addresses: [] }), /should have at least 1 items/],
  ['a pool of words', addressPool('no', { addresses: ['all'] }), /spec.addresses\[0\].*should match/],
  ['a pool without spec', { ...addressPool('no', {}), spec: undefined }, /spec: Required value/],
  ['a priority that is none', addressPool('no', { addresses: ['192.0.2.1'], priority: -1 }), /priority.*greater than/],
  ['an announcement in no way', announcement('no', { pools: ['x'] }), /l2, bgp or both are needed/],
  ['a community that is none', announcement('no', { bgp: { communities: ['x:y'] } }), /communities\[0\].*match/],
  ['a peer without numbers', bgpPeer('no', { address: '192.0.2.1' }), /localASN: Required value/],
  [
    'keepalives that are too rare',
    bgpPeer('no', { ...peer, holdTimeSeconds: 30, keepaliveTimeSeconds: 30 }),
    /keepaliveTimeSeconds must be less than holdTimeSeconds/,
  ],
];

for (const [what, object, reason] of refused) {
  test(`the API server refuses ${what}`, { skip }, async () => {
    await assert.rejects(api.apply(object), reason);
  });
}

test('what is in use is seen in a listing', { skip }, async () => {
  const pool = addressPool('counted', { addresses: ['192.0.2.0/24'] });
  await api.apply(pool);
  const status = { ipv4: { assigned: 3, available: 253 } };
  const { body } = await api.call('PATCH', `${pathOf(pool)}/status`, { status, spec: { autoAssign: false } });
  assert.deepEqual(body['status'], status);
  assert.equal((body['spec'] as { autoAssign: boolean }).autoAssign, true);
});
