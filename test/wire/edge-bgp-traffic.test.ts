import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { BirdRouter } from '../kit/birdrouter.ts';
import { EdgeLab } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { planRow } from '../kit/plans.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'bird']);

describe('traffic by routes of BGP', { skip, timeout: 600_000 }, () => {
  let lab: EdgeLab;
  let router: BirdRouter;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('traffic', { podsPerNode: [2], agent: { services: 'loadbalancer' } });
    // What the router has not heard of, the client may not reach by any other way.
    await lab.client.netns.ip('route add prohibit 203.0.113.0/24', '-6 route add prohibit 2001:db8::/32');
    router = await BirdRouter.start(
      lab.client.netns,
      '172.30.0.100',
      [
        'protocol kernel { ipv4 { import none; export all; }; }',
        'protocol kernel { ipv6 { import none; export all; }; }',
        'protocol bgp node1 { local as 64513; neighbor 172.30.0.1 as 64512; direct; connect delay time 1;',
        '  ipv4 { import all; export none; }; ipv6 { import all; export none; }; }',
      ].join('\n'),
    );
    const bgp = {
      ...{ peerIds: [], communities: [], largeCommunities: [], localPreference: null },
      ...{ aggregationLength4: 32, aggregationLength6: 128 },
    };
    const nodes = [lab.node.name];
    await lab.apply([
      ...lab.nodeRows(),
      planRow('peer', { id: 'tor', nodes, address: '172.30.0.100', localAsn: 64_512, peerAsn: 64_513 }),
      planRow('announcement', { id: 'rack', nodes, bgp }),
    ]);
    await eventually(
      async () => ((await router.session('node1')).state === 'Established' ? true : undefined),
      'the session',
    );
  });

  after(async () => {
    await router?.end();
    await lab?.close();
  });

  /** Asks until somebody answers, as soon as it may. @returns what came before */
  const ask = async (address: string): Promise<{ refusals: Set<string>; answer: string }> => {
    const refusals = new Set<string>();
    const answer = await eventually(async () => {
      const [answer = ''] = await lab.client.ask({ protocol: 'tcp', address, port: 80, count: 1 });
      if (answer.startsWith('pod-')) return answer;
      refusals.add(answer);
      return undefined;
    }, `an answer of ${address}`);
    return { refusals, answer };
  };

  test('rules come before the route: whoever has one is answered, from the first connection on', async () => {
    for (let i = 1; i <= 10; i++) {
      const addresses = [`203.0.113.${i}`, `2001:db8::${i}`];
      const vips = addresses.map((address) => ({ address, owner: 'sluice' as const, ipMode: 'vip' as const }));
      const asking = addresses.map(ask);
      await lab.apply([
        ...lab.service(`web-${i}`, ['pod-1a', 'pod-1b'], { vips }),
        ...addresses.map((id) => planRow('address', { id, announcementIds: ['rack'], serviceIds: [`test/web-${i}`] })),
      ]);
      for (const { refusals } of await Promise.all(asking)) {
        // EACCES is what the client's own table says without a route.
        assert.deepEqual(
          [...refusals].filter((each) => each !== 'EACCES'),
          [],
        );
      }
    }
  });
});
