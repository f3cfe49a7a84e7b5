import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyPlan } from '#table/plan.ts';
import { Heartbeat } from '../../proxy/announce/heartbeat.ts';
import { Peers, type Self } from '../../proxy/announce/peers.ts';
import { applyDelta } from '../../proxy/receive/delta.ts';
import { planRow } from '../kit/plans.ts';
import { freePorts } from '../kit/ports.ts';
import { quiet } from '../kit/quiet.ts';

const self: Self = { grade: 2, links: [], claims: new Map() };

test('a node that the plan left out for a while is heard again by one that has known it all the time', () => {
  const [one, two] = [new Peers('one'), new Peers('two')];
  const know = (peers: Peers, ...names: string[]) => peers.follow(new Map(names.map((name) => [name, '192.0.2.1'])));
  const speak = (from: Peers, to: Peers, nowMs: number) => {
    for (const peer of from.all()) for (const beat of from.beatsFor(peer, self, nowMs)) to.take(beat, nowMs);
  };
  let nowMs = 0;
  const speakFor = (rounds: number) => {
    for (let i = 0; i < rounds; i++, nowMs += 200) {
      speak(one, two, nowMs);
      speak(two, one, nowMs);
    }
  };
  know(one, 'two');
  know(two, 'one');
  speakFor(100);
  know(one);
  nowMs += 60_000;
  know(one, 'two');
  speakFor(5);
  assert.deepEqual(
    [one, two].map((peers) => peers.linked(nowMs, 600).map(({ node }) => node)),
    [['two'], ['one']],
  );
});

test('a node of one family speaks with the address of that family, where others have both', async () => {
  const [port = 0] = await freePorts(1);
  const plan = emptyPlan();
  applyDelta(plan, {
    upserts: [
      planRow('node', { id: 'six', addresses: ['fd30::1'] }),
      planRow('node', { id: 'both', addresses: ['172.30.0.2', 'fd30::2'] }),
      planRow('node', { id: 'four', addresses: ['172.30.0.3'] }),
      planRow('announcement', { id: 'l2', nodes: ['six', 'both', 'four'], layer2: { interfaces: [] } }),
    ],
    deletes: [],
  });
  const addressesOf = async (node: string) => {
    const heartbeat = await Heartbeat.open({ node, port, tickMs: 100, onNews: () => {}, log: quiet });
    heartbeat.follow(plan);
    heartbeat.close();
    return Object.fromEntries(heartbeat.peers.map((peer) => [peer.node, peer.address]));
  };
  assert.deepEqual(await addressesOf('six'), { both: 'fd30::2', four: '172.30.0.3' });
  assert.deepEqual(await addressesOf('both'), { six: 'fd30::1', four: '172.30.0.3' });
});
