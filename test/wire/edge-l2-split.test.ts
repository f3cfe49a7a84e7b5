import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { L2Lab } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping']);
const pods = ['pod-1a', 'pod-2a', 'pod-3a'];

for (const vip of ['172.30.0.200', 'fd30::c8'])
  describe(`layer 2: never two holders of ${vip} that know of each other`, { skip, timeout: 600_000 }, () => {
    const isV6 = vip.includes(':');
    let lab: L2Lab;
    let names: string[];

    before(async () => {
      if (skip) return;
      lab = await L2Lab.start(`l2split${isV6 ? 6 : 4}`, [1, 1, 1], { lifetimeS: 60 });
      names = lab.agents.map(({ node }) => node.name);
      await lab.apply([lab.announcement(), ...lab.service('web', [vip], pods)]);
      await lab.holder(vip);
      for (const name of names) await lab.heard(name, 2);
    });

    after(() => lab?.close());

    const port = (node: string) => `n${node.slice('node-'.length)}`;
    const heardAgain = async () => {
      for (const name of names) await lab.heard(name, 2);
    };

    const blockHeartbeats = async () => {
      for (const { node } of lab.agents) {
        await node.netns.exec(
          'nft',
          'add table inet wall; add chain inet wall in { type filter hook input priority -200; }',
        );
        await node.netns.exec('nft', 'add rule inet wall in udp dport 10253 drop');
      }
      for (const name of names) await lab.heard(name, 0);
    };

    test('heartbeats are blocked everywhere: the others see that the address is answered for, and leave it', async () => {
      const old = await lab.holder(vip);
      await blockHeartbeats();
      const others = names.filter((name) => name !== old);
      // Ten questions of each: by then one that believes in silence would have taken it.
      for (const name of others) await lab.probed(name, 10);
      assert.deepEqual(await lab.holders(vip), [old]);
      // And when it is gone, the better of two that hear nobody takes it, and one only.
      await lab.cable(lab.agent(old).node, 'down');
      const next = await lab.holder(vip, (node) => node !== old);
      await lab.served(vip);
      await lab.cable(lab.agent(old).node, 'up');
      for (const { node } of lab.agents) await node.netns.exec('nft', 'delete', 'table', 'inet', 'wall');
      await heardAgain();
      assert.equal(await lab.holder(vip), next);
    });

    test('the segment is parted: a holder on each side, and one when it is whole again', async () => {
      const old = await lab.holder(vip);
      await lab.net.lan.ip(`link set ${port(old)} nomaster`);
      await eventually(async () => ((await lab.holders(vip)).length === 2 ? true : undefined), 'one on the other side');
      await lab.served(vip);
      await lab.net.lan.ip(`link set ${port(old)} master br0`);
      await heardAgain();
      await lab.holder(vip);
      await lab.served(vip);
    });

    // A kernel does not tell who else answers for its own address of IPv6; there, two stay until they hear each other.
    if (!isV6)
      test('the segment is parted, and whole again without heartbeats: the lower address on the wire stays', async () => {
        const old = await lab.holder(vip);
        await lab.net.lan.ip(`link set ${port(old)} nomaster`);
        await eventually(
          async () => ((await lab.holders(vip)).length === 2 ? true : undefined),
          'one on the other side',
        );
        const two = await lab.holders(vip);
        await blockHeartbeats();
        await lab.net.lan.ip(`link set ${port(old)} master br0`);
        const macs = await Promise.all(two.map((name) => lab.macOf(name)));
        const lower = (macs[0] ?? '') < (macs[1] ?? '') ? two[0] : two[1];
        assert.equal(await lab.holder(vip), lower);
        for (const { node } of lab.agents) await node.netns.exec('nft', 'delete', 'table', 'inet', 'wall');
        await heardAgain();
        assert.equal(await lab.holder(vip), lower);
      });

    test('a slow clock: the holder gets to run now and then only, and keeps its address alone', async () => {
      const old = await lab.holder(vip);
      for (let i = 0; i < 30; i++) {
        lab.agent(old).signal('SIGSTOP');
        // As long as it takes to look at three machines, several times.
        for (let k = 0; k < 4; k++) assert.deepEqual(await lab.holders(vip), [old]);
        lab.agent(old).signal('SIGCONT');
        assert.deepEqual(await lab.holders(vip), [old]);
      }
    });
  });
