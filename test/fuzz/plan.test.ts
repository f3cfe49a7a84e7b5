import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { checkPointers } from '#table/check.ts';
import { type EdgePlan, emptyPlan, planContract } from '#table/plan.ts';
import { Planner, type PlanUpdate } from '../../controller/plan/planner.ts';
import type { ObjectKind } from '../../controller/watch/objects.ts';
import type { ViewChange } from '../../controller/watch/view.ts';
import { AddressWorld, claimOptions } from '../golden/allocating.ts';

const options = { ...claimOptions, secretNamespace: 'sluice' };
const app = fc.constantFrom({}, { app: 'web' }, { app: 'api' });
const selector = fc.constantFrom(undefined, { matchLabels: { app: 'web' } });

const service = fc.record({
  kind: fc.constant('Service'),
  metadata: fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    namespace: fc.constant('demo'),
    labels: app,
    annotations: fc.constantFrom(
      { 'sluice.dev/allocation': 'one/192.0.2.1' },
      { 'sluice.dev/allocation': 'one/192.0.2.1', 'sluice.dev/sharing-key': 'k' },
      { 'sluice.dev/allocation': 'two/2001:db8::1,one/192.0.2.2', 'sluice.dev/sharing-key': 'k' },
      { 'service.beta.kubernetes.io/load-balancer-source-ranges': '10.0.0.0/8,x' },
    ),
  }),
  spec: fc.record({
    type: fc.constantFrom('LoadBalancer', 'LoadBalancer', 'NodePort', 'ClusterIP', 'ExternalName'),
    loadBalancerClass: fc.constantFrom('sluice.dev/edge', 'sluice.dev/edge', 'example.com/lb'),
    clusterIP: fc.constantFrom('10.96.0.1', 'None'),
    ipFamilies: fc.constantFrom(['IPv4'], ['IPv6', 'IPv4']),
    externalTrafficPolicy: fc.constantFrom('Cluster', 'Local'),
    sessionAffinity: fc.constantFrom('None', 'ClientIP'),
    ports: fc.constantFrom(
      [{ name: 'http', port: 80 }],
      [{ port: 53, protocol: 'UDP', nodePort: 30053 }],
      [
        { name: 'http', port: 80 },
        { name: 'again', port: 80 },
        { name: 'odd', port: 81, protocol: 'DCCP' },
      ],
    ),
  }),
  status: fc.constantFrom(
    undefined,
    { loadBalancer: { ingress: [{ ip: '192.0.2.1' }] } },
    { loadBalancer: { ingress: [{ ip: '203.0.113.1', ipMode: 'Proxy' }, { hostname: 'x' }] } },
  ),
});
const slice = fc.record({
  kind: fc.constant('EndpointSlice'),
  metadata: fc.record({
    name: fc.constantFrom('x', 'y'),
    namespace: fc.constant('demo'),
    labels: fc.record({ 'kubernetes.io/service-name': fc.constantFrom('a', 'b') }),
  }),
  ports: fc.constantFrom([{ name: 'http', port: 8080 }], [{ port: 53, protocol: 'UDP' }]),
  endpoints: fc.array(
    fc.record({
      addresses: fc.tuple(fc.constantFrom('10.1.0.1', '10.1.0.2', 'fd00::1', '127.0.0.1')),
      nodeName: fc.constantFrom('n1', 'n2'),
      conditions: fc.record({ ready: fc.boolean(), serving: fc.boolean(), terminating: fc.boolean() }),
    }),
    { maxLength: 3 },
  ),
});
const node = fc.record({
  kind: fc.constant('Node'),
  metadata: fc.record({
    name: fc.constantFrom('n1', 'n2'),
    labels: fc.constantFrom({}, { app: 'web' }, { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }),
  }),
  spec: fc.constantFrom({}, { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }], podCIDRs: ['10.1.0.7/24'] }),
  status: fc.record({
    addresses: fc.constantFrom([], [{ type: 'InternalIP', address: '192.0.2.9' }]),
    conditions: fc.constantFrom(
      [],
      [{ type: 'Ready', status: 'Unknown' }],
      [{ type: 'NetworkUnavailable', status: 'True' }],
    ),
  }),
});
const pool = fc.record({
  kind: fc.constant('AddressPool'),
  metadata: fc.record({ name: fc.constantFrom('one', 'two'), labels: app }),
  spec: fc.constantFrom({ addresses: ['192.0.2.0/24'] }, { addresses: ['2001:db8::/64'] }),
});
const announcement = fc.record({
  kind: fc.constant('Announcement'),
  metadata: fc.record({ name: fc.constantFrom('l2', 'bgp') }),
  spec: fc.record({
    pools: fc.constantFrom([], ['one'], ['none']),
    poolSelector: selector,
    serviceSelector: selector,
    nodeSelector: selector,
    l2: fc.constantFrom(undefined, {}),
    bgp: fc.constantFrom(undefined, {}, { peers: ['p', 'q'], communities: ['no-export', '1:70000'] }),
  }),
});
const peer = fc.record({
  kind: fc.constant('BGPPeer'),
  metadata: fc.record({ name: fc.constantFrom('p', 'q') }),
  spec: fc.record({
    address: fc.constantFrom('192.0.2.254', 'fe80::1', 'x'),
    interface: fc.constantFrom(undefined, 'eth0', 'eth 0'),
    peerASN: fc.constant(1),
    localASN: fc.constant(2),
    nodeSelector: selector,
    passwordSecretRef: fc.constantFrom(undefined, { name: 's' }),
  }),
});
const secret = fc.record({
  kind: fc.constant('Secret'),
  metadata: fc.constant({ name: 's', namespace: 'sluice' }),
  data: fc.constantFrom({ password: 'c2VjcmV0' }, { password: 'YSBi' }, {}),
});
const step = fc.record({
  manifest: fc.oneof(
    { weight: 6, arbitrary: service },
    { weight: 3, arbitrary: slice },
    { weight: 2, arbitrary: node },
    { weight: 2, arbitrary: pool },
    { weight: 2, arbitrary: announcement },
    { weight: 2, arbitrary: peer },
    { weight: 1, arbitrary: secret },
  ),
  isGone: fc.boolean(),
});

test('any order of changes ends in the plan that a full one makes, and no row points at nothing', () => {
  fc.assert(
    fc.property(fc.array(fc.array(step, { minLength: 1, maxLength: 4 }), { maxLength: 12 }), (batches) => {
      const world = new AddressWorld();
      const unheard = world.follow();
      const planner = new Planner(options);
      const plan = emptyPlan();
      for (const batch of batches) {
        for (const { manifest, isGone } of batch) {
          if (isGone) remove(world, manifest as Manifest);
          else world.put(manifest);
        }
        const view = world.view();
        const update = planner.apply(view, unheard.splice(0) satisfies ViewChange[]);
        apply(plan, update);
        const full = new Planner(options);
        const whole = full.apply(view, []);
        // Of two that cannot share, the one that was there before keeps it: what came first is not in the view.
        if (!isDeepStrictEqual(sorted(planner), sorted(full))) return;
        const expected = emptyPlan();
        apply(expected, whole);
        assert.deepEqual(plan, expected);
        assert.deepEqual(update.problems, whole.problems);
        assert.deepEqual(update.secretsInUse, whole.secretsInUse);
      }
    }),
    { numRuns: Number(process.env['FUZZ_RUNS'] ?? 1_000), seed: 20261126 },
  );
});

interface Manifest {
  kind: ObjectKind;
  metadata: { name: string; namespace?: string };
}

function remove(world: AddressWorld, { kind, metadata }: Manifest): void {
  world.remove(kind, `${metadata.namespace ?? ''}/${metadata.name}`);
}

function sorted({ allocator }: Planner): [string, unknown][] {
  return [...allocator.assignments()].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** As an edge does it. Nothing in an update may be without effect. */
function apply(plan: EdgePlan, { upserts, deletes }: PlanUpdate): void {
  for (const { kind, row } of upserts) {
    planContract.schemas[kind].parse(row);
    const rows = plan[kind] as Map<string, unknown>;
    assert(!isDeepStrictEqual(rows.get(row.id), row), `${kind} ${row.id} did not change`);
    rows.set(row.id, row);
  }
  for (const { kind, id } of deletes) assert(plan[kind].delete(id), `${kind} ${id} was not there`);
  const changed = upserts.map(({ kind, row }) => ({ kind, id: row.id }));
  assert.deepEqual(checkPointers(planContract, plan, changed, deletes), []);
}
