import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { L2Lab, Listener } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping', 'tcpdump']);

for (const [vip, packets, answer] of [
  ['172.30.0.200', 'arp host 172.30.0.200', /Reply 172\.30\.0\.200 is-at/],
  ['fd30::c8', 'icmp6', /neighbor advertisement, .*tgt is fd30::c8/],
] as const)
  describe(`layer 2: a holder of ${vip} that fails`, { skip, timeout: 600_000 }, () => {
    let lab: L2Lab;
    let listener: Listener;

    before(async () => {
      if (skip) return;
      lab = await L2Lab.start(`l2fail${vip.includes(':') ? 6 : 4}`, [1, 1, 1], { lifetimeS: 3 });
      listener = new Listener(lab, packets);
      await listener.ready();
      // The client must reach the pods of all nodes without the one that fails.
      await lab.apply([lab.announcement(), ...lab.service('web', [vip], ['pod-1a', 'pod-2a', 'pod-3a'])]);
      await lab.holder(vip);
    });

    /** Every node is as it was in the beginning. */
    afterEach(async () => {
      if (skip) return;
      for (const agent of lab.agents) {
        await lab.cable(agent.node, 'up');
        agent.signal('SIGCONT');
        if (agent.isRunning) continue;
        await agent.start();
        await lab.tell(agent);
      }
      await lab.holder(vip);
      await lab.served(vip);
    });

    after(async () => {
      await listener?.end();
      await lab?.close();
    });

    /** The others' endpoints serve, whatever becomes of the holder's. */
    const endpointsWithout = (node: string) =>
      lab.apply(
        lab.service(
          'web',
          [vip],
          lab.net.pods.filter((pod) => pod.node !== node).map(({ name }) => name),
        ),
      );

    test('behaviour 17: the agent of the holder is killed: the kernel forgets the address, another takes it, and traffic resumes', async () => {
      const old = await lab.holder(vip);
      await lab.agent(old).kill();
      const next = await lab.holder(vip, (node) => node !== old);
      assert.notEqual(next, old);
      await lab.served(vip);
    });

    test('behaviour 17: the cable of the holder is cut: traffic resumes, and when it is mended there is one holder', async () => {
      const old = await lab.holder(vip);
      await endpointsWithout(old);
      await lab.cable(lab.agent(old).node, 'down');
      const next = await lab.holder(vip, (node) => node !== old);
      await lab.served(vip);
      await lab.cable(lab.agent(old).node, 'up');
      await lab.heard(old, 2);
      assert.equal(await lab.holder(vip), next, 'who comes back moves nothing');
    });

    test('behaviour 19: the agent of the holder is frozen: it answers until its lifetime ends, then another; awake again it takes nothing back', async () => {
      const old = await lab.holder(vip);
      lab.agent(old).signal('SIGSTOP');
      const next = await lab.holder(vip, (node) => node !== old);
      await lab.served(vip);
      lab.agent(old).signal('SIGCONT');
      await lab.heard(old, 2);
      assert.equal(await lab.holder(vip), next);
      assert.ok(listener.lines.some((line) => answer.test(line)));
    });
  });
