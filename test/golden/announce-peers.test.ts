import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Peers, type Self } from '../../proxy/announce/peers.ts';

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
