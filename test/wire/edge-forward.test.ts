import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { planRow } from '../kit/plans.ts';

const skip = await skipWithoutNetns();

describe('edge: connections reach endpoints', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  let host: Peer;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('forward', { podsPerNode: [2, 1] });
    host = new Peer(lab.node.netns);
    await lab.apply(lab.nodeRows());
  });

  after(async () => {
    await host?.end();
    await lab?.close();
  });

  test('a cluster address, TCP and UDP, IPv4 and IPv6, spreads over all endpoints', async () => {
    const clusterIps = ['10.96.0.10', 'fd96::10'];
    const all = ['pod-1a', 'pod-1b', 'pod-2a'];
    const port = (protocol: 'tcp' | 'udp') => {
      return { name: protocol, protocol, port: 80, nodePort: null, endpointsId: `test/web/${protocol}` };
    };
    const ack = await lab.apply([
      planRow('endpoints', { id: 'test/web/tcp', endpoints: lab.endpoints(...all) }),
      planRow('endpoints', { id: 'test/web/udp', endpoints: lab.endpoints(...all) }),
      planRow('service', { id: 'test/web', clusterIps, ports: [port('tcp'), port('udp')] }),
    ]);
    assert.equal(ack.type, 'applied');
    for (const address of clusterIps) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const answers = await lab.client.ask({ protocol, address, port: 80, count: 40 });
        assert.deepEqual(namesOf(answers), all, `${protocol} ${address}`);
      }
    }
  });

  test('pods and the node itself are clients, too; a pod keeps its address, and reaches itself', async () => {
    const [one, two] = [lab.pod('pod-1a'), lab.pod('pod-1b')];
    await lab.apply(lab.service('inner', ['pod-1a'], { clusterIps: ['10.96.0.11', 'fd96::11'] }));
    for (const [address, own, others] of [
      ['10.96.0.11', one.address, two.address],
      ['fd96::11', one.address6, two.address6],
    ] as const) {
      const ask = { protocol: 'tcp', address, port: 80, count: 3 } as const;
      assert.deepEqual(new Set(await two.peer.ask(ask)), new Set([`pod-1a ${others}`]));
      assert.deepEqual(namesOf(await host.ask(ask)), ['pod-1a']);
      const [toItself] = await one.peer.ask(ask);
      assert.match(toItself ?? '', /^pod-1a /);
      assert.notEqual(toItself, `pod-1a ${own}`, 'the answer must come back through the node');
    }
  });

  test('a node port is one of the node and of nothing else', async () => {
    const { address, address6 } = lab.node;
    await lab.apply(lab.service('ported', ['pod-2a'], { clusterIps: ['10.96.0.12', 'fd96::12'], nodePort: 30_012 }));
    for (const each of [address, address6]) {
      assert.deepEqual(namesOf(await lab.client.ask({ protocol: 'tcp', address: each, port: 30_012, count: 3 })), [
        'pod-2a',
      ]);
    }
    const [answer] = await lab.client.ask({ protocol: 'tcp', address: '10.96.0.12', port: 30_012, count: 1 });
    assert.equal(answer, 'ECONNREFUSED');
    const [local] = await host.ask({ protocol: 'tcp', address: '127.0.0.1', port: 30_012, count: 1 });
    assert.equal(local, 'ECONNREFUSED');
  });

  test('behaviour 14: a changed port moves the traffic, and the old one stops; the address stays', async () => {
    const vips = [{ address: '192.0.2.14', owner: 'sluice', ipMode: 'vip' } as const];
    const answersOf = async (port: number, address = '192.0.2.14') =>
      namesOf(await lab.client.ask({ protocol: 'tcp', address, port, count: 3 }));
    await lab.apply(
      lab.service('moving', ['pod-1a'], { vips, clusterIps: ['10.96.0.14'], port: 80, nodePort: 30_014 }),
    );
    assert.deepEqual(await answersOf(80), ['pod-1a']);
    await lab.apply(
      lab.service('moving', ['pod-1a'], { vips, clusterIps: ['10.96.0.14'], port: 81, nodePort: 30_015 }),
    );
    assert.deepEqual(await answersOf(81), ['pod-1a']);
    assert.deepEqual(await answersOf(80), ['ECONNREFUSED']);
    assert.deepEqual(await answersOf(30_015, lab.node.address), ['pod-1a']);
    assert.deepEqual(await answersOf(30_014, lab.node.address), ['ECONNREFUSED']);
    await lab.apply([], [{ kind: 'service', id: 'test/moving' }]);
    // Nobody has the address any more.
    assert.doesNotMatch((await answersOf(81)).join(), /pod/);
  });

  test('behaviour 23: other ports of the host do not answer on a VIP that it holds', async () => {
    const { netns, address } = lab.node;
    await netns.ip('addr add 192.0.2.23/32 dev eth0');
    for (const protocol of ['tcp', 'udp'] as const)
      await host.serve({ protocol, address: '0.0.0.0', port: 22, name: 'host' });
    const ask = (protocol: 'tcp' | 'udp', to: string) => lab.client.ask({ protocol, address: to, port: 22, count: 1 });
    assert.deepEqual(namesOf(await ask('tcp', '192.0.2.23')), ['host'], 'before it is a VIP');
    const vips = [{ address: '192.0.2.23', owner: 'sluice', ipMode: 'vip' } as const];
    await lab.apply(lab.service('held', ['pod-1a'], { vips }));
    for (const protocol of ['tcp', 'udp'] as const) {
      assert.deepEqual(await ask(protocol, '192.0.2.23'), ['ECONNREFUSED']);
      assert.deepEqual(namesOf(await ask(protocol, address)), ['host']);
    }
    assert.deepEqual(namesOf(await lab.client.ask({ protocol: 'tcp', address: '192.0.2.23', port: 80, count: 2 })), [
      'pod-1a',
    ]);
  });

  test('a VIP that is the address of the node, too, leaves the ports of the host alone', async () => {
    const vips = [{ address: lab.node.address, owner: 'sluice', ipMode: 'vip' } as const];
    await host.serve({ protocol: 'tcp', address: lab.node.address, port: 2_222, name: 'host' });
    await lab.apply(lab.service('shared', ['pod-1b'], { vips, port: 8_888 }));
    const ask = (port: number) => lab.client.ask({ protocol: 'tcp', address: lab.node.address, port, count: 2 });
    assert.deepEqual(namesOf(await ask(2_222)), ['host']);
    assert.deepEqual(namesOf(await ask(8_888)), ['pod-1b']);
    await lab.apply([], [{ kind: 'service', id: 'test/shared' }]);
  });

  test('another load balancer’s address may be that of a node, whose other ports stay what they are', async () => {
    const [, other] = lab.nodes;
    assert.ok(other);
    const there = new Peer(other.netns);
    try {
      for (const address of [other.address, other.address6]) {
        await there.serve({ protocol: 'tcp', address, port: 10_250, name: 'kubelet' });
      }
      const vips = [other.address, other.address6].map((address) => {
        return { address, owner: 'other', ipMode: 'vip' } as const;
      });
      await lab.apply(lab.service('theirs', ['pod-1b'], { vips }));
      for (const { address } of vips) {
        for (const peer of [host, lab.pod('pod-1a').peer]) {
          const ask = (port: number) => peer.ask({ protocol: 'tcp', address, port, count: 1 });
          assert.deepEqual(namesOf(await ask(80)), ['pod-1b']);
          assert.deepEqual(namesOf(await ask(10_250)), ['kubelet']);
        }
      }
    } finally {
      await there.end();
      await lab.apply([], [{ kind: 'service', id: 'test/theirs' }]);
    }
  });
});
