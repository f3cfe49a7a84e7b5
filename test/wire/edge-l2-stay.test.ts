import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { L2Lab } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping']);
const vip = '172.30.0.200';

describe('layer 2: a holder that is well, or comes back in time', { skip, timeout: 600_000 }, () => {
  let lab: L2Lab;

  before(async () => {
    if (skip) return;
    lab = await L2Lab.start('l2stay', [1, 1, 1], { lifetimeS: 60 });
    await lab.apply([lab.announcement(), ...lab.service('web', [vip], ['pod-1a', 'pod-2a', 'pod-3a'])]);
    await lab.holder(vip);
  });

  after(() => lab?.close());

  const settingsOf = async (node: string) => {
    const names = ['net.ipv4.conf.eth0.arp_ignore', 'net.ipv4.conf.eth0.arp_announce'];
    return (await lab.agent(node).node.netns.exec('sysctl', '-n', ...names)).trim().split('\n');
  };

  test('behaviour 19: an agent that crashes and comes back at once goes on with its address', async () => {
    const old = await lab.holder(vip);
    await lab.agent(old).kill();
    await lab.agent(old).start();
    await lab.tell(lab.agent(old));
    assert.deepEqual(await lab.holders(vip), [old]);
    await lab.heard(old, 2);
    assert.deepEqual(await lab.holders(vip), [old]);
  });

  test('behaviour 19: a crash leaves nothing that the plan does not want any more', async () => {
    const old = await lab.holder(vip);
    await lab.agent(old).kill();
    await lab.apply([], [{ kind: 'address', id: vip }]);
    await lab.agent(old).start();
    await lab.tell(lab.agent(old));
    assert.deepEqual(await lab.holders(vip), []);
    await lab.apply(lab.service('web', [vip], ['pod-1a', 'pod-2a', 'pod-3a']));
  });

  test('behaviour 22: a node that comes moves no address whose holder is well', async () => {
    const [first, second] = lab.agents;
    if (first === undefined || second === undefined) throw new Error('there are three');
    const many = Array.from({ length: 8 }, (_, i) => `172.30.0.${210 + i}`);
    await first.kill();
    await lab.apply(lab.service('web', [vip, ...many], ['pod-1a', 'pod-2a', 'pod-3a']));
    const before = await lab.settled(many);
    assert.ok(!before.includes(first.node.name));
    await first.start();
    await lab.tell(first);
    await lab.heard(first.node.name, 2);
    assert.deepEqual((await lab.places(...many)).flat(), before);
    await lab.apply(
      lab.service('web', [vip], ['pod-1a', 'pod-2a', 'pod-3a']),
      many.map((id) => ({ kind: 'address', id })),
    );
  });

  test('an interface that has other settings has ours again soon, and its own after cleanup', async () => {
    const holder = await lab.holder(vip);
    const { netns } = lab.agent(holder).node;
    assert.deepEqual(await settingsOf(holder), ['1', '2']);
    await netns.sysctl('net.ipv4.conf.eth0.arp_ignore=0');
    await eventually(async () => ((await settingsOf(holder))[0] === '1' ? true : undefined), 'arp_ignore=1');
    await lab.agent(holder).kill();
    assert.match(await lab.agent(holder).cleanUp(), /our settings of ARP of eth0/);
    assert.deepEqual(await settingsOf(holder), ['0', '0']);
    assert.deepEqual(await lab.holders(vip), []);
    await lab.agent(holder).start();
    await lab.tell(lab.agent(holder));
  });
});
