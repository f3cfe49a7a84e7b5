import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BgpLab, routerAddress6 } from '../kit/bgplab.ts';
import { isSameRoute, isSameSession } from '../kit/birdrouter.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { plainEndpoint, planRow } from '../kit/plans.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);
const hops = (prefix: string, ...nodes: number[]) => nodes.map((node) => `${prefix} 172.30.0.${node}`);

describe('who announces what to whom by BGP', { skip, timeout: 600_000 }, () => {
  let lab: BgpLab;

  before(async () => {
    if (skip) return;
    lab = await BgpLab.start('selectors', 3);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack')]);
    await Promise.all(['node1', 'node2', 'node3'].map((node) => lab.established(node)));
  });

  after(() => lab?.close());

  const vip = (id: string, fields = {}) => planRow('address', { id, announcementIds: ['rack'], ...fields });

  test('27: nodes that are selected announce; one that is not any more withdraws, and nothing else moves', async () => {
    await lab.apply([
      vip('203.0.113.1'),
      vip('203.0.113.2', { announcementIds: ['edge'] }),
      lab.announcement('edge', {}, ['node-1', 'node-2']),
    ]);
    await lab.expectHops(...hops('203.0.113.1/32', 1, 2, 3), ...hops('203.0.113.2/32', 1, 2));
    await lab.nodes[1]?.announces('bgp 203.0.113.1', 'bgp 203.0.113.2');
    await lab.nodes[2]?.announces('bgp 203.0.113.1');
    const since = await lab.established('node2');
    const before = await lab.router.routes();
    await lab.apply([lab.announcement('edge', {}, ['node-1'])]);
    await lab.expectHops(...hops('203.0.113.1/32', 1, 2, 3), ...hops('203.0.113.2/32', 1));
    assert.ok(isSameSession(await lab.established('node2'), since));
    for (const route of await lab.router.routes()) {
      const same = before.find(({ prefix, from }) => prefix === route.prefix && from === route.from);
      assert.ok(isSameRoute(same, route), `${route.prefix} of ${route.from}`);
    }
    await lab.apply(
      [],
      [
        { kind: 'address', id: '203.0.113.2' },
        { kind: 'announcement', id: 'edge' },
      ],
    );
  });

  test('27: peers that are named hear; others, and nodes that speak with none of them, are told nothing', async () => {
    const second = lab.peer('tor-2', { address: routerAddress6, nodes: ['node-1'] });
    await lab.apply([second, lab.announcement('rack', { peerIds: ['tor-2'] })]);
    // The router knows nothing of the second session.
    await lab.expectHops();
    const { announcing } = await lab.node.status();
    const [bgp] = announcing.filter(({ way }) => way === 'bgp');
    assert.deepEqual(bgp?.addresses, [
      { address: '203.0.113.1', isAnnounced: true, detail: '203.0.113.1/32 to tor-2' },
    ]);
    assert.deepEqual(
      bgp?.peers.map(({ name, isUp }) => [name, isUp]),
      [
        ['tor-1', true],
        ['tor-2', false],
      ],
    );
    await lab.node.announces();
    await lab.apply([lab.announcement('rack', { peerIds: ['tor-1'] })]);
    await lab.expectHops(...hops('203.0.113.1/32', 1, 2, 3));
    // A peer that a node is not to speak with any more.
    await lab.apply([lab.peer('tor-1', { nodes: ['node-2', 'node-3'] })], [{ kind: 'peer', id: 'tor-2' }]);
    await lab.expectHops(...hops('203.0.113.1/32', 2, 3));
    await eventually(async () => lab.node.birdPid() === 0 || undefined, 'a node without peers to have no BIRD');
    await lab.node.announces();
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack')]);
    await lab.expectHops(...hops('203.0.113.1/32', 1, 2, 3));
  });

  test('32: where traffic must stay on its node, those with ready endpoints announce, and follow them', async () => {
    const pods = (...nodes: [node: number, state?: object][]) =>
      planRow('endpoints', {
        id: 'test/web/tcp',
        endpoints: nodes.map(([node, state]) => ({
          ...plainEndpoint,
          address: `10.244.${node}.2`,
          port: 8080,
          node: `node-${node}`,
          ...state,
        })),
      });
    const ports = [{ name: '', protocol: 'tcp' as const, port: 80, nodePort: null, endpointsId: 'test/web/tcp' }];
    const vips = [{ address: '203.0.113.1', owner: 'sluice' as const, ipMode: 'vip' as const }];
    const service = (externalTrafficPolicy: 'local' | 'cluster') =>
      planRow('service', { id: 'test/web', name: 'web', ports, vips, externalTrafficPolicy });
    await lab.apply([pods([2]), service('local'), vip('203.0.113.1', { serviceIds: ['test/web'] })]);
    await lab.expectHops(...hops('203.0.113.1/32', 2));
    await lab.apply([pods([2], [3])]);
    await lab.expectHops(...hops('203.0.113.1/32', 2, 3));
    await lab.apply([pods([2, { ready: false, serving: true, terminating: true }], [3])]);
    await lab.expectHops(...hops('203.0.113.1/32', 3));
    await lab.apply([pods([3, { ready: false, serving: false }])]);
    await lab.expectHops();
    await lab.node.announces();
    await lab.apply([pods([1])]);
    await lab.expectHops(...hops('203.0.113.1/32', 1));
    await lab.node.announces('bgp 203.0.113.1');
    await lab.apply([service('cluster')]);
    await lab.expectHops(...hops('203.0.113.1/32', 1, 2, 3));
  });

  test('a node that is about to leave is not among those that announce, and keeps its session', async () => {
    const since = await lab.established('node1');
    await lab.apply([
      planRow('node', { id: 'node-1', addresses: [lab.node.address, lab.node.address6], isLeaving: true }),
      lab.announcement('rack', {}, ['node-2', 'node-3']),
    ]);
    await lab.expectHops(...hops('203.0.113.1/32', 2, 3));
    assert.ok(isSameSession(await lab.established('node1'), since));
  });
});
