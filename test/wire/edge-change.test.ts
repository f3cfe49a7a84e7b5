import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { manyServices, otherEndpoint } from '../kit/manyservices.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns();

describe('edge: while things change', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('change', { podsPerNode: [3, 1] });
    await lab.apply(lab.nodeRows());
  });

  after(() => lab?.close());

  const clusterIps = ['10.96.5.1'];
  const ask = (count: number) => lab.client.ask({ protocol: 'tcp', address: '10.96.5.1', port: 80, count });

  test('behaviour 38: a rolling update: no connection fails, established ones stay, what ends is served while it is all there is', async () => {
    await lab.apply(lab.service('rolling', ['pod-1a', 'pod-1b'], { clusterIps }));
    const held = await lab.client.hold({ address: '10.96.5.1', port: 80, count: 30 });
    assert.deepEqual(namesOf(held), ['pod-1a', 'pod-1b']);
    const asking = ask(600);
    const rounds = [['pod-1a', 'pod-1b'], ['pod-1b', 'pod-1c'], ['pod-1c', 'pod-2a'], ['pod-2a', 'pod-1a'], ['pod-2a']];
    for (let i = 0; i < 30; i++)
      await lab.apply(lab.service('rolling', rounds[i % rounds.length] ?? [], { clusterIps }));
    const answers = await asking;
    assert.deepEqual(
      answers.filter((answer) => !answer.startsWith('pod-')),
      [],
    );
    assert.equal(await lab.client.poke(), 30, 'established connections go on with their endpoints');
    await lab.apply(lab.service('rolling', ['pod-1b'], { clusterIps, state: { ready: false, terminating: true } }));
    assert.deepEqual(namesOf(await ask(5)), ['pod-1b']);
    await lab.apply(
      lab.service('rolling', ['pod-1b'], { clusterIps, state: { ready: false, serving: false, terminating: true } }),
    );
    assert.deepEqual(await ask(1), ['ECONNREFUSED']);
    assert.equal(await lab.client.poke(), 30, 'also when nothing takes new ones any more');
  });

  test('behaviour 40: among many Services, 2,000 connections while 60 endpoints change: none fails', async () => {
    const many = manyServices(1_000, 10);
    const real = (pods: string[]) => lab.service('real', pods, { clusterIps });
    await lab.apply([...many, ...real(['pod-1a', 'pod-1b', 'pod-1c'])]);
    const asking = ask(2_000);
    const ways = [
      ['pod-1a', 'pod-1b'],
      ['pod-1b', 'pod-1c'],
      ['pod-1a', 'pod-1c'],
    ];
    for (let i = 0; i < 60; i++) {
      const ack = await lab.apply([otherEndpoint(many, i), ...real(ways[i % ways.length] ?? [])]);
      assert.equal(ack.type, 'applied');
    }
    assert.deepEqual(
      (await asking).filter((answer) => !answer.startsWith('pod-')),
      [],
    );
  });
});
