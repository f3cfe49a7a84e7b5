import assert from 'node:assert/strict';
import { mkdir, rmdir } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { BgpLab } from '../kit/bgplab.ts';
import { isSameRoute, isSameSession } from '../kit/birdrouter.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { plainEndpoint, planRow } from '../kit/plans.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);
const own = '172.30.0.1';
const own6 = 'fd30::1';

describe('routes of a node by BGP', { skip, timeout: 600_000 }, () => {
  let lab: BgpLab;

  before(async () => {
    if (skip) return;
    lab = await BgpLab.start('routes', 1);
    await lab.apply([lab.peer('tor-1'), lab.announcement('rack')]);
    await lab.established();
  });

  after(() => lab?.close());

  const vip = (id: string, fields = {}) => planRow('address', { id, announcementIds: ['rack'], ...fields });

  test('24: an address is there as /32 or /128 with communities, large communities and this node as next hop', async () => {
    const communities = ['64512:100', '65535:65281'];
    await lab.apply([
      lab.announcement('rack', { communities, largeCommunities: ['64512:1:4294967295'], localPreference: 200 }),
      vip('203.0.113.7'),
      vip('2001:db8::7'),
    ]);
    await lab.expectHops(`203.0.113.7/32 ${own}`, `2001:db8::7/128 ${own6}`);
    for (const route of await lab.router.routes()) {
      assert.equal(route.communities, '(64512,100) (65535,65281)');
      assert.equal(route.largeCommunities, '(64512, 1, 4294967295)');
      // A preference is for the own system alone (RFC 4271 §5.1.5).
      assert.equal(route.localPreference, '100');
    }
  });

  test('25: what is added, changed and removed leaves the session as it is', async () => {
    const since = await lab.established();
    await lab.apply([vip('203.0.113.8')]);
    await lab.expectHops(`203.0.113.7/32 ${own}`, `203.0.113.8/32 ${own}`, `2001:db8::7/128 ${own6}`);
    await lab.apply([lab.announcement('rack', { communities: ['64512:300'] })]);
    await lab.apply([], [{ kind: 'address', id: '203.0.113.7' }]);
    await lab.expectHops(`203.0.113.8/32 ${own}`, `2001:db8::7/128 ${own6}`);
    await eventually(
      async () => (await lab.router.routes())[0]?.communities === '(64512,300)' || undefined,
      'the other community',
    );
    await lab.apply(
      [],
      [
        { kind: 'address', id: '203.0.113.8' },
        { kind: 'address', id: '2001:db8::7' },
      ],
    );
    await lab.expectHops();
    assert.ok(isSameSession(await lab.established(), since));
  });

  test('26: Services on one address are one route, which goes with the last of them; a prefix is there once', async () => {
    const service = (name: string) => planRow('service', { id: `test/${name}`, name });
    await lab.apply([service('one'), service('two'), vip('203.0.113.9', { serviceIds: ['test/one', 'test/two'] })]);
    await lab.expectHops(`203.0.113.9/32 ${own}`);
    const [before] = await lab.router.routes();
    await lab.apply([vip('203.0.113.9', { serviceIds: ['test/two'] })], [{ kind: 'service', id: 'test/one' }]);
    await lab.apply([vip('203.0.113.10')]);
    await lab.expectHops(`203.0.113.9/32 ${own}`, `203.0.113.10/32 ${own}`);
    const after = (await lab.router.routes()).find(({ prefix }) => prefix === '203.0.113.9/32');
    assert.ok(isSameRoute(before, after));
    await lab.apply([lab.announcement('rack', { aggregationLength4: 28 })]);
    await lab.expectHops(`203.0.113.0/28 ${own}`);
    await lab.apply([], [{ kind: 'address', id: '203.0.113.10' }]);
    await lab.expectHops(`203.0.113.0/28 ${own}`);
    await lab.apply(
      [lab.announcement('rack')],
      [
        { kind: 'address', id: '203.0.113.9' },
        { kind: 'service', id: 'test/two' },
      ],
    );
    await lab.expectHops();
  });

  test('26: what two announcements say of one address is said together', async () => {
    await lab.apply([
      lab.announcement('rack', { communities: ['64512:1'], largeCommunities: ['1:2:3'] }),
      lab.announcement('again', { communities: ['64512:2', '64512:1'] }),
      vip('203.0.113.11', { announcementIds: ['rack', 'again'] }),
    ]);
    await lab.expectHops(`203.0.113.11/32 ${own}`);
    const [route] = await lab.router.routes();
    assert.equal(route?.communities, '(64512,1) (64512,2)');
    await lab.apply([vip('203.0.113.11')], [{ kind: 'announcement', id: 'again' }]);
    await lab.apply([], [{ kind: 'address', id: '203.0.113.11' }]);
    await lab.expectHops();
  });

  test('what BIRD could not be told yet follows the endpoints that it depends on', async () => {
    const endpoint = { ...plainEndpoint, address: '10.244.1.2', port: 80, node: 'node-1' };
    const endpoints = (...list: (typeof endpoint)[]) => planRow('endpoints', { id: 'test/web/tcp', endpoints: list });
    const web = planRow('service', {
      id: 'test/web',
      ports: [{ name: '', protocol: 'tcp', port: 80, nodePort: null, endpointsId: 'test/web/tcp' }],
      externalTrafficPolicy: 'local',
    });
    // Where the next file would be, there is a folder.
    await mkdir(lab.node.file('nextMain'));
    await lab.apply([endpoints(endpoint), web, vip('203.0.113.12', { serviceIds: ['test/web'] }), vip('203.0.113.13')]);
    await lab.apply([endpoints()]);
    await rmdir(lab.node.file('nextMain'));
    await lab.expectHops(`203.0.113.13/32 ${own}`);
    await lab.apply(
      [],
      ['203.0.113.12', '203.0.113.13'].map((id) => ({ kind: 'address' as const, id })),
    );
    await lab.expectHops();
  });

  test('31: what a router tells comes to no table of the kernel, and to none of ours', async () => {
    await lab.router.configure(
      '172.30.0.254',
      [
        'protocol static { ipv4; route 198.51.100.0/24 blackhole; }',
        'protocol bgp node1 { local as 64513; neighbor 172.30.0.1 as 64512; direct; connect delay time 1; error wait time 1, 2;',
        '  ipv4 { import all; export all; }; ipv6 { import all; export none; }; }',
      ].join('\n'),
    );
    await lab.apply([vip('203.0.113.12')]);
    await lab.expectHops('198.51.100.0/24 ', `203.0.113.12/32 ${own}`);
    await eventually(
      async () => ((await lab.router.session('node1')).announced > 0 ? true : undefined),
      'the router to tell of its route',
    );
    assert.doesNotMatch(await lab.node.askBird('show route table all'), /198\.51/);
    assert.doesNotMatch(await lab.node.netns.exec('ip', 'route', 'show', 'table', 'all'), /198\.51|203\.0/);
  });
});
