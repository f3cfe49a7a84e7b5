import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { L2Lab, Listener } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping', 'ndptool', 'tcpdump']);
const [vip, vip6] = ['172.30.0.200', 'fd30::c8'];

describe('layer 2: who has an address', { skip, timeout: 600_000 }, () => {
  let lab: L2Lab;
  let listener: Listener;

  before(async () => {
    if (skip) return;
    lab = await L2Lab.start('l2', [1, 1, 1]);
    listener = new Listener(lab, 'arp or icmp6');
    await listener.ready();
    await lab.apply([lab.announcement(), ...lab.service('web', [vip, vip6], ['pod-1a', 'pod-2a', 'pod-3a'])]);
  });

  after(async () => {
    await listener?.end();
    await lab?.close();
  });

  const macOf = (node: string) => lab.macOf(node);

  test('the plan is applied when the address is answered for', async () => {
    const holders = await lab.holders(vip);
    assert.equal(holders.length, 1);
    assert.equal(await lab.isServed(vip), true);
    await lab.holder(vip6);
    await lab.served(vip6);
  });

  test('behaviour 15: exactly one MAC answers 100 probes, of each family', async () => {
    const holder = await lab.holder(vip);
    const probes = await lab.net.client.netns.exec('arping', '-b', '-f', '-c', '1', '-I', 'eth0', vip);
    assert.match(probes, new RegExp(`\\[${await macOf(holder)}\\]`, 'i'));
    const heard = new Set<string>();
    const heard6 = new Set<string>();
    for (let i = 0; i < 100; i++) {
      for (const [address, macs] of [
        [vip, heard],
        [vip6, heard6],
      ] as const) {
        await lab.net.client.netns.forgetNeighbour(address);
        await lab.net.client.netns.ip(`neigh replace ${address} dev eth0 nud none use`);
        const mac = await eventually(async () => {
          const shown = await lab.net.client.netns.exec('ip', 'neigh', 'show', address);
          return /lladdr (\S+)/.exec(shown)?.[1];
        }, `an answer for ${address}`);
        macs.add(mac);
      }
    }
    assert.deepEqual([...heard], [await macOf(holder)]);
    assert.deepEqual([...heard6], [await macOf(await lab.holder(vip6))]);
    const replies = listener.lines.filter((line) => line.includes(`Reply ${vip} is-at`));
    const senders = new Set(replies.map((line) => line.split(' ')[1]));
    assert.deepEqual([...senders], [await macOf(holder)], 'nobody else has ever answered');
  });

  test('behaviour 16: a takeover is told by a gratuitous request and reply, and by an unsolicited advertisement', async () => {
    const mac = await macOf(await lab.holder(vip));
    const mac6 = await macOf(await lab.holder(vip6));
    await listener.heard(new RegExp(`${mac} > ff:.* Request who-has ${vip} .*tell ${vip}`));
    await listener.heard(new RegExp(`${mac} > ff:.* Reply ${vip} is-at ${mac}`));
    await listener.heard(new RegExp(`${mac6} > 33:33:00:00:00:01.*neighbor advertisement, tgt is ${vip6}`));
  });

  test('behaviour 23: ports of the host do not answer at the address', async () => {
    const holder = lab.agent(await lab.holder(vip)).node;
    await lab.hostServer(holder, 2222);
    const ask = async (address: string) =>
      (await lab.net.client.ask({ protocol: 'tcp', address, port: 2222, count: 1 })).join();
    assert.match(await ask(holder.address), /^host /);
    assert.match(await ask(vip), /ECONNREFUSED/);
  });
});
