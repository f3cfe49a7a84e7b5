import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { checks } from '../../proxy/edge/checks.ts';
import type { HostFacts } from '../../proxy/edge/hostfacts.ts';
import { EdgeLab, namesOf } from '../kit/edgelab.ts';
import { cable, Netns, skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';

const skip = await skipWithoutNetns();

/** Behind a router of its own, at the node's second interface; the node's default route leads elsewhere. */
describe('edge doctor: the way back', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  let space: Netns;
  let far: Peer;
  const vips = ['198.51.100.9', '2001:db8:51::9'];

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('return', { podsPerNode: [1, 1] });
    space = await Netns.make('return-far');
    await cable(lab.node.netns, 'eth1', space, 'eth0');
    await lab.node.netns.sysctl('net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.eth1.rp_filter=0');
    await lab.node.netns.ip('addr add 198.51.100.1/24 dev eth1', 'addr add 2001:db8:51::1/64 dev eth1 nodad');
    await space.ip(
      'addr add 198.51.100.254/24 dev eth0',
      'addr add 2001:db8:51::fe/64 dev eth0 nodad',
      'addr add 203.0.113.9/32 dev lo',
      'addr add 2001:db8:113::9/128 dev lo nodad',
      'route add 198.51.100.9/32 via 198.51.100.1 src 203.0.113.9',
      '-6 route add 2001:db8:51::9/128 via 2001:db8:51::1 src 2001:db8:113::9',
    );
    far = new Peer(space);
    await lab.apply([
      ...lab.nodeRows(),
      ...lab.service('web', ['pod-1a', 'pod-2a'], {
        vips: vips.map((address) => ({ address, owner: 'sluice', ipMode: 'vip' })),
      }),
    ]);
  });

  after(async () => {
    await far?.end();
    await lab?.close();
    await space?.remove();
  });

  test('what the doctor says mends it, for both families, under both policies', async () => {
    const ask = async (address: string, count: number, timeoutMs = 30_000) =>
      namesOf(await far.ask({ protocol: 'tcp', address, port: 80, count, timeoutMs }));
    for (const address of vips) assert.deepEqual(await ask(address, 1, 400), ['TIMEOUT']);
    const fixes = fixesFor(vips);
    assert.equal(fixes.length, 2);
    for (const fix of fixes) {
      const gateway = fix.includes('ip -6') ? '2001:db8:51::fe' : '198.51.100.254';
      await lab.node.netns.exec('sh', '-c', fix.replace('<the gateway of eth1>', gateway));
    }
    for (const address of vips) assert.deepEqual(await ask(address, 20), ['pod-1a', 'pod-2a']);
    await lab.apply(
      lab.service('web', ['pod-1a', 'pod-2a'], {
        vips: vips.map((address) => ({ address, owner: 'sluice', ipMode: 'vip' })),
        externalTrafficPolicy: 'local',
      }),
    );
    for (const address of vips) assert.deepEqual(await ask(address, 5), ['pod-1a']);
  });
});

/** As of a machine that is well but for this. */
function fixesFor(addresses: readonly string[]): string[] {
  const address = Object.fromEntries(addresses.map((id) => [id, { id }]));
  const facts: Pick<HostFacts, 'agent' | 'interfaces' | 'defaultInterfaces'> = {
    agent: { plan: { address } } as never,
    interfaces: [{ name: 'eth1', addresses: ['198.51.100.1/24', '2001:db8:51::1/64'] }],
    defaultInterfaces: { 4: ['eth0'], 6: ['eth0'] },
  };
  const check = checks.find(({ name }) => name === 'return path');
  return check?.find(facts as HostFacts).map(({ fix }) => fix) ?? [];
}
