import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { PlanRows } from '#table/plan.ts';
import { EdgeLab } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { planRow } from '../kit/plans.ts';

const skip = await skipWithoutNetns();

describe('edge: connections reach endpoints', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('forward', { podsPerNode: [2, 1] });
    await lab.apply(lab.nodeRows());
  });

  after(() => lab?.close());

  test('a cluster address, TCP and UDP, IPv4 and IPv6, spread over all endpoints', async () => {
    const ack = await lab.apply([
      ...service({ clusterIps: ['10.96.0.10', 'fd96::10'] }),
      endpoints('pod-1a', 'pod-1b', 'pod-2a'),
    ]);
    assert.equal(ack.type, 'applied');
    for (const address of ['10.96.0.10', 'fd96::10']) {
      for (const protocol of ['tcp', 'udp'] as const) {
        const answers = await lab.client.ask({ protocol, address, port: 80, count: 40 });
        assert.deepEqual(namesOf(answers), ['pod-1a', 'pod-1b', 'pod-2a'], `${protocol} ${address}`);
      }
    }
  });

  function service(fields: Partial<PlanRows['service']>) {
    return [
      planRow('service', {
        id: 'test/web',
        ports: [
          { name: 'web', protocol: 'tcp', port: 80, nodePort: null, endpointsId: 'test/web/tcp/80' },
          { name: 'dns', protocol: 'udp', port: 80, nodePort: null, endpointsId: 'test/web/udp/80' },
        ],
        ...fields,
      }),
      planRow('endpoints', { id: 'test/web/udp/80', endpoints: lab.endpoints('pod-1a', 'pod-1b', 'pod-2a') }),
    ];
  }

  function endpoints(...names: string[]) {
    return planRow('endpoints', { id: 'test/web/tcp/80', endpoints: lab.endpoints(...names) });
  }
});

function namesOf(answers: readonly string[]): string[] {
  return [...new Set(answers.map((answer) => answer.split(' ')[0] ?? ''))].sort();
}
