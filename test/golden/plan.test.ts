import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkPointers } from '#table/check.ts';
import { canonicalJson } from '#table/hash.ts';
import { emptyPlan, type PlanRow, planContract } from '#table/plan.ts';
import { BatchReader, commitLine, rowLine, snapshotLine } from '#table/wire.ts';
import { applyDelta } from '../../proxy/receive/delta.ts';
import { plainEndpoint, planRow, planSnapshot } from '../kit/plans.ts';

const rows: PlanRow[] = [
  planRow('node', { id: 'node-a', addresses: ['10.0.0.1', 'fd00::1'], podCidrs: ['10.244.0.0/24'] }),
  planRow('service', {
    id: 'shop/web',
    clusterIps: ['10.96.0.10'],
    vips: [{ address: '192.0.2.1', owner: 'sluice', ipMode: 'vip' }],
    ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: 30_080, endpointsId: 'shop/web/tcp/80' }],
  }),
  planRow('endpoints', {
    id: 'shop/web/tcp/80',
    endpoints: [{ ...plainEndpoint, address: '10.244.0.5', port: 8080, node: 'node-a' }],
  }),
  planRow('secret', { id: 'peers/tor', value: 'a password' }),
  planRow('peer', {
    id: 'tor',
    nodes: ['node-a'],
    address: '10.0.0.254',
    localAsn: 1,
    peerAsn: 2,
    secretId: 'peers/tor',
  }),
  planRow('announcement', {
    id: 'default',
    nodes: ['node-a'],
    bgp: {
      peerIds: ['tor'],
      communities: ['65000:1'],
      largeCommunities: ['65000:1:2'],
      localPreference: null,
      aggregationLength4: 32,
      aggregationLength6: 128,
    },
  }),
  planRow('address', { id: '192.0.2.1', serviceIds: ['shop/web'], announcementIds: ['default'] }),
];

function read(lines: readonly string[]) {
  const reader = new BatchReader(planContract);
  return lines.map((line) => reader.push(line.trimEnd())).find((batch) => batch !== null);
}

test('a plan crosses the wire as it is', () => {
  const { commit } = planSnapshot(rows);
  const lines = rows.map(({ kind, row }) => rowLine(kind, canonicalJson(row)));
  const batch = read([snapshotLine, ...lines, commitLine(commit)]);
  assert.deepEqual(batch, { batch: planSnapshot(rows), problems: [] });
});

test('every pointer of a plan is checked, from both ends', () => {
  const plan = emptyPlan();
  applyDelta(plan, { upserts: rows, deletes: [] });
  const refs = rows.map(({ kind, row }) => ({ kind, id: row.id }));
  assert.deepEqual(checkPointers(planContract, plan, refs, []), []);
  for (const kind of ['endpoints', 'secret', 'peer', 'announcement', 'service'] as const) {
    const gone = refs.filter((ref) => ref.kind === kind);
    const without = emptyPlan();
    applyDelta(without, { upserts: rows.filter((row) => row.kind !== kind), deletes: [] });
    const problems = checkPointers(planContract, without, [], gone);
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['PointerBroken'],
      kind,
    );
    assert.deepEqual(checkPointers(planContract, without, refs, []), problems, kind);
  }
});

/** Two texts of one address would be two elements of a set, and the kernel would refuse the plan for the second. */
test('an address has one text, however it was written', () => {
  const texts = ['FD00::1', 'fd00:0:0:0:0:0:0:1', 'fd00:0::0001', 'fd00::1'];
  const { clusterIps } = planContract.schemas.service.parse({ ...rows[1]?.row, clusterIps: texts });
  assert.deepEqual(new Set(clusterIps), new Set(['fd00::1']));
  assert.equal(planContract.schemas.address.parse({ ...rows.at(-1)?.row, id: '2001:DB8:0::1' }).id, '2001:db8::1');
});

/** The renderer writes addresses into a program for the kernel: nothing else may pass as one. */
test('what is no address, prefix or port is refused at the door', () => {
  const parse = (row: object) => planContract.schemas.service.safeParse({ ...rows[1]?.row, ...row }).success;
  assert.ok(parse({ clusterIps: ['::ffff:10.0.0.1', '10.0.0.1'], sourceRanges: ['10.0.0.0/8', 'fd00::/8'] }));
  for (const bad of ['10.0.0', '10.0.0.1 }', '10.0.0.1\n', 'fe80::1%eth0', '01.2.3.4', 'localhost', '', '::1;']) {
    assert.ok(!parse({ clusterIps: [bad] }), bad);
    assert.ok(!parse({ sourceRanges: [`${bad}/24`] }), bad);
  }
  assert.ok(!parse({ sourceRanges: ['10.0.0.0'] }));
  assert.ok(!parse({ sourceRanges: ['10.0.0.0/33'] }));
  assert.ok(!parse({ healthCheckNodePort: 0 }));
});
