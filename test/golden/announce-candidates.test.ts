import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyPlan } from '#table/plan.ts';
import { Candidates } from '../../proxy/announce/candidates.ts';
import { applyDelta } from '../../proxy/receive/delta.ts';
import { plainEndpoint, planRow } from '../kit/plans.ts';

test('behaviour 21: under Local, an address is for nodes with ready endpoints of its own family', () => {
  const endpoint = (address: string, node: string) => ({ ...plainEndpoint, address, port: 80, node });
  const plan = emptyPlan();
  const delta = {
    upserts: [
      planRow('endpoints', { id: 'e', endpoints: [endpoint('10.1.0.1', 'four'), endpoint('fd44::1', 'six')] }),
      planRow('service', {
        id: 's',
        externalTrafficPolicy: 'local',
        ports: [{ name: '', protocol: 'tcp', port: 80, nodePort: null, endpointsId: 'e' }],
      }),
      planRow('announcement', { id: 'l2', nodes: ['four', 'six', 'none'], layer2: { interfaces: [] } }),
      ...['192.0.2.1', '2001:db8::1'].map((id) =>
        planRow('address', { id, pool: 'p', serviceIds: ['s'], announcementIds: ['l2'] }),
      ),
    ],
    deletes: [],
  };
  applyDelta(plan, delta);
  const candidates = new Candidates();
  candidates.follow(plan, delta);
  const nodesOf = (address: string) => candidates.of(address)?.candidates.map(({ node }) => node);
  assert.deepEqual(nodesOf('192.0.2.1'), ['four']);
  assert.deepEqual(nodesOf('2001:db8::1'), ['six']);
});
