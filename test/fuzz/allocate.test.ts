import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Claim, readClaim } from '../../controller/addresses/claim.ts';
import { sharingFault } from '../../controller/addresses/ledger.ts';
import type { ObjectOf } from '../../controller/watch/objects.ts';
import { AddressWorld, ipsOf, Replica } from '../golden/allocating.ts';

const serviceKey = fc.constantFrom('demo/a', 'demo/b', 'demo/c', 'demo/d', 'shop/e', 'shop/f');
const families = fc.constantFrom(['IPv4'], ['IPv6'], ['IPv4', 'IPv6'], ['IPv6', 'IPv4']);
const asked = fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.1,2001:db8::1', '2001:db8::2', '203.0.113.9', 'x');
const annotations = fc.record(
  {
    'sluice.dev/addresses': asked,
    'sluice.dev/pool': fc.constantFrom('one', 'two', 'three'),
    'sluice.dev/sharing-key': fc.constantFrom('k', 'l'),
    'sluice.dev/allocation': fc.constantFrom('one/192.0.2.1', 'two/2001:db8::1', 'none/198.51.100.1'),
  },
  { requiredKeys: [] },
);
const service = fc.record({
  key: serviceKey,
  type: fc.constantFrom('LoadBalancer', 'LoadBalancer', 'LoadBalancer', 'ClusterIP'),
  loadBalancerClass: fc.constantFrom('sluice.dev/edge', 'sluice.dev/edge', 'example.com/lb'),
  ipFamilies: families,
  ipFamilyPolicy: fc.constantFrom('SingleStack', 'PreferDualStack', 'RequireDualStack'),
  externalTrafficPolicy: fc.constantFrom('Cluster', 'Cluster', 'Local'),
  ports: fc.constantFrom([{ port: 80 }], [{ port: 53, protocol: 'UDP' }], [{ port: 80 }, { port: 443 }]),
  annotations: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 3, arbitrary: annotations }),
});
const pool = fc.record({
  name: fc.constantFrom('one', 'two', 'three'),
  creationTimestamp: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
  spec: fc.record({
    addresses: fc.constantFrom(
      ['192.0.2.1-192.0.2.2'],
      ['192.0.2.2-192.0.2.4', '2001:db8::1'],
      ['2001:db8::/126'],
      ['192.0.2.0/30', '2001:db8::1-2001:db8::2'],
    ),
    autoAssign: fc.boolean(),
    namespaces: fc.constantFrom([], [], ['shop']),
    priority: fc.constantFrom(undefined, 1, 2),
  }),
});

/** What happens: somebody changes an object; a replica hears of changes; one that leads writes some of what it wants to. */
const event = fc.oneof(
  { weight: 6, arbitrary: fc.record({ type: fc.constant('service' as const), service }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('delete' as const), key: serviceKey }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('pool' as const), pool }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('no pool' as const), name: fc.constantFrom('one', 'two') }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('node' as const), address: fc.constantFrom('192.0.2.2', '10.0.0.1') }),
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('hear' as const), replica: fc.nat(1) }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('write' as const), replica: fc.nat(1), count: fc.nat(3) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('promise' as const), replica: fc.nat(1), count: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const), replica: fc.nat(1) }) },
);
type Event = typeof event extends fc.Arbitrary<infer T> ? T : never;

/** Objects, and replicas that know as much of them as they have heard. */
class Run {
  readonly world = new AddressWorld();
  readonly replicas = [new Replica(this.world), new Replica(this.world)];
  #age = 0;

  play(happened: Event): void {
    if (happened.type === 'service') this.#putService(happened.service);
    else if (happened.type === 'delete') this.world.remove('Service', happened.key);
    else if (happened.type === 'no pool') this.world.remove('AddressPool', `/${happened.name}`);
    else if (happened.type === 'pool') {
      const { name, creationTimestamp, spec } = happened.pool;
      this.world.put({ kind: 'AddressPool', metadata: { name, creationTimestamp }, spec });
    } else if (happened.type === 'node') {
      const status = { addresses: [{ type: 'InternalIP', address: happened.address }] };
      this.world.put({ kind: 'Node', metadata: { name: 'n1' }, status });
    } else this.#replicaDoes(happened);
  }

  #replicaDoes(happened: Extract<Event, { replica: number }>): void {
    const replica = this.replicas[happened.replica];
    assert(replica);
    if (happened.type === 'hear') {
      replica.hear();
      assertCompatible(replica);
    } else if (happened.type === 'restart') replica.restart();
    else if (happened.type === 'write') {
      for (const [key, intent] of [...replica.allocator.intents()].slice(0, happened.count)) {
        this.world.write(key, intent);
      }
    } else {
      for (const [key, given] of replica.promises().slice(0, happened.count)) this.world.promise(key, given);
    }
  }

  #putService({ key, annotations: given, ...spec }: typeof service extends fc.Arbitrary<infer T> ? T : never): void {
    const [namespace = '', name = ''] = key.split('/');
    const before = this.world.service(key);
    const { uid, creationTimestamp, finalizers } = before?.metadata ?? {
      uid: `uid ${++this.#age}`,
      creationTimestamp: `2026-01-01T00:00:${String(10 + (this.#age % 3))}Z`,
      finalizers: [],
    };
    const note = before?.metadata.annotations['sluice.dev/allocation'];
    // Most tools leave alone what they did not write.
    const annotations = { ...(note !== undefined && { 'sluice.dev/allocation': note }), ...given };
    const metadata = { name, namespace, uid, creationTimestamp, finalizers, annotations };
    const isLoadBalancer = spec.type === 'LoadBalancer';
    this.world.put({ kind: 'Service', metadata, spec, ...(isLoadBalancer && before && { status: before.status }) });
  }
}

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 3_000);

test('whatever happens in whatever order, no address has two Services that cannot share it, and there is an end', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const run = new Run();
      for (const each of events) run.play(each);
      const [leader, other] = run.replicas;
      assert(leader && other);
      leader.settle();
      assertCompatible(leader);
      const fresh = new Replica(run.world);
      for (const replica of [other, fresh]) {
        replica.hear();
        assert.deepEqual(sorted(replica.allocator.assignments()), sorted(leader.allocator.assignments()));
        assert.deepEqual([...replica.allocator.intents()], []);
        assert.deepEqual(replica.allocator.problems(), leader.allocator.problems());
        assert.deepEqual(replica.allocator.usage(), leader.allocator.usage());
      }
    }),
    { numRuns, seed: 20261126 },
  );
});

test('who has what it asks for keeps it, whatever happens to others and to pools', () => {
  fc.assert(
    fc.property(fc.array(service, { maxLength: 4 }), fc.array(event, { maxLength: 40 }), (begin, events) => {
      const run = new Run();
      const metadata = { name: 'one', creationTimestamp: '2025-01-01T00:00:00Z' };
      run.world.put({
        kind: 'AddressPool',
        metadata,
        spec: { addresses: ['192.0.2.1-192.0.2.3', '2001:db8::1'] },
      });
      for (const each of begin) run.play({ type: 'service', service: each });
      const [leader] = run.replicas;
      assert(leader);
      leader.settle();
      // Who has something else than it asks for moves as soon as it can.
      const unhappy = leader.allocator.problems().map(({ source }) => `${source.namespace}/${source.name}`);
      const content = services(run.world).filter((object) => !unhappy.includes(keyOf(object)));
      const told = new Map(content.map((object) => [keyOf(object), ipsOf(object)]));
      for (const each of events) {
        if (each.type === 'service') told.delete(each.service.key);
        if (each.type === 'delete') told.delete(each.key);
        // One leads at a time; what it has not written when it goes, the next one finds out.
        if (!('replica' in each)) run.play(each);
        else if (each.type === 'restart') leader.restart();
        else leader.settle();
      }
      leader.settle();
      for (const [key, ips] of told) {
        const now = ipsOf(run.world.service(key));
        for (const ip of ips) assert(now.includes(ip), `${key} lost ${ip}: ${now}`);
      }
    }),
    { numRuns, seed: 20261126 },
  );
});

function assertCompatible({ world, allocator }: Replica): void {
  const claimsByAddress = new Map<string, Claim[]>();
  for (const [key, given] of allocator.assignments()) {
    const object = world.service(key);
    if (!object) continue;
    for (const { address } of given) {
      const others = claimsByAddress.get(address) ?? [];
      const claim = readClaim(object);
      for (const other of others) {
        const fault = sharingFault(claim.sharing, other.sharing);
        assert.equal(fault, null, `${key} and ${other.key} have ${address}${fault}`);
      }
      claimsByAddress.set(address, [...others, claim]);
    }
  }
}

function services(world: AddressWorld): ObjectOf<'Service'>[] {
  return [...world.objects.values()].filter((object) => object.kind === 'Service');
}

function keyOf({ metadata }: ObjectOf<'Service'>): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function sorted<T>(map: ReadonlyMap<string, T>): [string, T][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1));
}
