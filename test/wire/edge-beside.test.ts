import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';

const skip = await skipWithoutNetns();

describe('edge: beside another Service proxy (--services loadbalancer)', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('beside', { podsPerNode: [2], agent: { services: 'loadbalancer' } });
    const nft = (text: string) => lab.node.netns.exec('nft', text);
    const theirs = lab.pod('pod-1b').address;
    // As kube-proxy does: it translates every address that a Service has, those of load balancers, too.
    await nft('add table ip kube-proxy');
    await nft('add chain ip kube-proxy services { type nat hook prerouting priority -100; }');
    for (const address of ['10.96.6.1', '192.0.2.60']) {
      await nft(
        `add rule ip kube-proxy services ip daddr ${address} tcp dport 80 meta mark set meta mark | 0x4000 dnat to ${theirs}:8080`,
      );
    }
    await nft('add chain ip kube-proxy postrouting { type nat hook postrouting priority 100; }');
    await nft('add rule ip kube-proxy postrouting meta mark & 0x4000 != 0 masquerade');
    await lab.apply(lab.nodeRows());
  });

  after(() => lab?.close());

  const ask = async (address: string) =>
    namesOf(await lab.client.ask({ protocol: 'tcp', address, port: 80, count: 6 }));

  test('what we announce is ours, all else is theirs, and stays theirs when we go', async () => {
    assert.deepEqual(await ask('192.0.2.60'), ['pod-1b']);
    const vips = [{ address: '192.0.2.60', owner: 'sluice', ipMode: 'vip' } as const];
    await lab.apply(lab.service('web', ['pod-1a'], { vips, clusterIps: ['10.96.6.1'], nodePort: 30_060 }));
    assert.deepEqual(await ask('192.0.2.60'), ['pod-1a']);
    assert.deepEqual(await ask('10.96.6.1'), ['pod-1b']);
    const [nodePort] = await lab.client.ask({ protocol: 'tcp', address: lab.node.address, port: 30_060, count: 1 });
    assert.equal(nodePort, 'ECONNREFUSED', 'node ports are not ours');
    await lab.apply([], [{ kind: 'service', id: 'test/web' }]);
    assert.deepEqual(await ask('192.0.2.60'), ['pod-1b']);
  });

  test('the bit of the packet mark is ours alone: others’ bits pass untouched', async () => {
    const vips = [{ address: '192.0.2.61', owner: 'sluice', ipMode: 'vip' } as const];
    const nft = (...text: string[]) => lab.node.netns.exec('nft', ...text);
    await nft('add table ip marks');
    await nft('add chain ip marks before { type filter hook prerouting priority -150; }');
    await nft('add rule ip marks before ip daddr 192.0.2.61 meta mark set 0xabc00001');
    await nft('add chain ip marks after { type filter hook postrouting priority 200; }');
    await nft('add rule ip marks after tcp dport 8080 ct state new meta mark 0xabc00001 meta priority 0 counter');
    await lab.apply(lab.service('marked', ['pod-1a'], { vips }));
    assert.deepEqual(await ask('192.0.2.61'), ['pod-1a']);
    assert.match(await nft('list', 'chain', 'ip', 'marks', 'after'), /counter packets 6 /);
  });

  test('UDP that the other translates to an endpoint that left us is none of ours', async () => {
    const { address } = lab.pod('pod-1a');
    const rule = `ip daddr 10.96.6.53 udp dport 53 meta mark set meta mark | 0x4000 dnat to ${address}:8080`;
    await lab.node.netns.exec('nft', `add rule ip kube-proxy services ${rule}`);
    const theirs = { protocol: 'udp', address: '10.96.6.53', port: 53, count: 3, sourcePort: 5_353 } as const;
    const vips = [{ address: '192.0.2.53', owner: 'sluice', ipMode: 'vip' } as const];
    const dns = { protocol: 'udp' as const, port: 53, clusterIps: ['10.96.6.53'], vips };
    await lab.apply(lab.service('dns', ['pod-1a'], dns));
    assert.deepEqual(namesOf(await lab.client.ask(theirs)), ['pod-1a']);
    await lab.apply(lab.service('dns', ['pod-1b'], dns));
    assert.deepEqual(namesOf(await lab.client.ask(theirs)), ['pod-1a'], 'another endpoint');
    await lab.apply(lab.service('dns', ['pod-1a'], { ...dns, vips: [] }));
    assert.deepEqual(namesOf(await lab.client.ask(theirs)), ['pod-1a'], 'no load balancer any more');
  });
});
