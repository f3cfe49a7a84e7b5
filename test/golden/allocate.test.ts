import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseDocument } from 'yaml';
import { z } from 'zod';
import { Allocator } from '../../controller/addresses/allocator.ts';
import { addressCatalogue } from '../../controller/addresses/problems.ts';
import { AddressWorld, claimOptions, ipsOf, Replica } from './allocating.ts';
import { briefProblem } from './translating.ts';

/**
 * One file per case: what changes step by step, and after each step the addresses of all Services and the problems.
 * `UPDATE=1` rewrites what is expected. Services are of type LoadBalancer and of our class, in namespace demo, with port 80,
 * unless they say otherwise; the earlier they appear the older they are, as are pools.
 */
const folder = join(import.meta.dirname, 'allocate');

const Step = z.strictObject({
  about: z.string().optional(),
  options: z.record(z.string(), z.unknown()).optional(),
  /** By name: the addresses, or the whole spec; null: it is deleted. */
  pools: z.record(z.string(), z.union([z.array(z.string()), z.looseObject({}), z.null()])).default({}),
  services: z.record(z.string(), z.union([z.looseObject({}), z.null()])).default({}),
  /** Labels by name. */
  namespaces: z.record(z.string(), z.record(z.string(), z.string())).default({}),
  /** Addresses by name; null: it is gone. */
  nodes: z.record(z.string(), z.union([z.array(z.string()), z.null()])).default({}),
  /** Another replica leads from now on; it knows what the objects say. */
  restart: z.boolean().default(false),
  expect: z.unknown().optional(),
});
const Case = z.strictObject({ about: z.string(), usage: z.boolean().default(false), steps: z.array(Step) });

const triggered = new Set<string>();

for (const file of readdirSync(folder).filter((name) => name.endsWith('.yaml'))) {
  const path = join(folder, file);
  const document = parseDocument(readFileSync(path, 'utf8'));
  const golden = Case.parse(document.toJS());
  test(`${file.replace('.yaml', '')}: ${golden.about}`, () => {
    const world = new AddressWorld();
    const ages = new Map<string, string>();
    let replica = new Replica(world);
    for (const [index, step] of golden.steps.entries()) {
      for (const manifest of manifestsOf(step, world, ages)) world.put(manifest);
      for (const [name, pool] of Object.entries(step.pools)) if (pool === null) world.remove('AddressPool', `/${name}`);
      for (const [name, node] of Object.entries(step.nodes)) if (node === null) world.remove('Node', `/${name}`);
      for (const [name, service] of Object.entries(step.services)) {
        if (service === null) world.remove('Service', keyOf(name));
      }
      if (step.restart || step.options) replica = new Replica(world, { ...claimOptions, ...step.options });
      replica.settle();
      const { allocator } = replica;
      for (const { code, message, hint } of allocator.problems()) {
        triggered.add(code);
        assert.doesNotMatch(message + hint, /\{\w+\}/, 'a placeholder was not filled in');
      }
      const actual = {
        addresses: addressesIn(world),
        ...(allocator.problems().length > 0 && { problems: allocator.problems().map(briefProblem) }),
        ...(golden.usage && { usage: Object.fromEntries(allocator.usage()) }),
      };
      if (process.env['UPDATE'] === '1') document.setIn(['steps', index, 'expect'], actual);
      else assert.deepEqual(actual, step.expect, `step ${index + 1}`);
    }
    if (process.env['UPDATE'] === '1') {
      writeFileSync(path, document.toString({ lineWidth: 0, flowCollectionPadding: false }));
    }
  });
}

test('what one address, or the lack of any, costs grows with the Services and not with their pairs', () => {
  const callsOf = (count: number, pools: readonly object[], annotations: Record<string, string>) => {
    const world = new AddressWorld();
    for (const pool of pools) world.put(pool);
    for (let i = 0; i < count; i++) {
      const spec = { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: i + 1 }] };
      world.put({ kind: 'Service', metadata: { name: `s${i}`, namespace: 'demo', annotations }, spec });
    }
    const allocator = new Allocator(claimOptions);
    const view = world.view();
    const calls = countCalls(() => allocator.apply(view, []));
    assert.equal(allocator.intents().size, pools.length > 0 ? count : 0);
    return calls;
  };
  const pool = { kind: 'AddressPool', metadata: { name: 'one' }, spec: { addresses: ['192.0.2.1'] } };
  const waiting = (count: number) => callsOf(count, [], {});
  assert(waiting(800) < 3 * waiting(400), 'Services that wait do not look at each other');
  // Each is shown to all that have the address already; that those are shown to each other again would be eight times as many.
  const sharing = (count: number) => callsOf(count, [pool], { 'sluice.dev/sharing-key': 'k' });
  assert(sharing(200) < 6 * sharing(100), 'Services that share are not compared in pairs again and again');
});

test('what a replica only proposed it takes back when one that hears of everything later would not propose it', () => {
  const node = {
    kind: 'Node',
    metadata: { name: 'n1' },
    status: { addresses: [{ type: 'Hostname', address: '192.0.2.1' }] },
  };
  const service = (annotations: Record<string, string>) => ({
    kind: 'Service',
    metadata: { name: 'a', namespace: 'demo', annotations },
    spec: { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] },
  });
  const asks = { 'sluice.dev/addresses': '192.0.2.1' };
  const stories = [
    [service(asks), node],
    [service({}), node],
    [service(asks), service({ ...asks, 'sluice.dev/pool': 'two' })],
  ];
  for (const [first, then] of stories) {
    const world = new AddressWorld();
    for (const name of ['one', 'two']) {
      const addresses = name === 'one' ? ['192.0.2.1-192.0.2.2'] : ['198.51.100.1'];
      world.put({ kind: 'AddressPool', metadata: { name }, spec: { addresses } });
    }
    const early = new Replica(world);
    world.put(first);
    early.hear();
    assert.equal(early.allocator.intents().get('demo/a')?.allocations[0]?.address, '192.0.2.1');
    world.put(then);
    early.hear();
    const late = new Replica(world);
    late.hear();
    assert.deepEqual([...early.allocator.intents()], [...late.allocator.intents()]);
    assert.deepEqual(early.allocator.problems(), late.allocator.problems());
  }
});

test('what is free of a pool is told anew when a node takes an address', () => {
  const world = new AddressWorld();
  world.put({ kind: 'AddressPool', metadata: { name: 'one' }, spec: { addresses: ['192.0.2.1-192.0.2.2'] } });
  const replica = new Replica(world);
  replica.settle();
  const { turnover } = replica.allocator;
  const status = { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] };
  world.put({ kind: 'Node', metadata: { name: 'n1' }, status });
  replica.settle();
  assert(replica.allocator.turnover > turnover);
  assert.deepEqual(replica.allocator.usage().get('one'), { ipv4: { assigned: 0, available: 1 } });
});

/** How often texts are looked up while something runs: the same on every machine. */
function countCalls(run: () => void): number {
  const [get, includes] = [Map.prototype.get, Array.prototype.includes];
  let calls = 0;
  Map.prototype.get = function (key) {
    calls++;
    return get.call(this, key);
  };
  Array.prototype.includes = function (...wanted) {
    calls++;
    return includes.apply(this, wanted);
  };
  try {
    run();
  } finally {
    Map.prototype.get = get;
    Array.prototype.includes = includes;
  }
  return calls;
}

test('each problem of the catalogue is triggered by a case, and says what to do', () => {
  assert.deepEqual(
    Object.keys(addressCatalogue).filter((code) => !triggered.has(code)),
    [],
  );
  for (const [code, { text, hint }] of Object.entries(addressCatalogue)) {
    assert.match(hint, /^[A-Z{].*[.}]$/, code);
    assert.match(text, /^["A-Z{].*[.}]$/, code);
  }
});

function* manifestsOf(step: z.infer<typeof Step>, world: AddressWorld, ages: Map<string, string>): Iterable<unknown> {
  const metadataOf = (kind: string, name: string, namespace = '') => {
    const key = `${kind} ${namespace}/${name}`;
    const creationTimestamp = ages.get(key) ?? `2026-01-01T00:00:${String(ages.size).padStart(2, '0')}Z`;
    ages.set(key, creationTimestamp);
    return { name, namespace, creationTimestamp, uid: key };
  };
  for (const [name, labels] of Object.entries(step.namespaces)) {
    yield { kind: 'Namespace', metadata: { ...metadataOf('Namespace', name), labels } };
  }
  for (const [name, addresses] of Object.entries(step.nodes)) {
    const status = { addresses: (addresses ?? []).map((address) => ({ type: 'InternalIP', address })) };
    if (addresses) yield { kind: 'Node', metadata: metadataOf('Node', name), status };
  }
  for (const [name, pool] of Object.entries(step.pools)) {
    const spec = Array.isArray(pool) ? { addresses: pool } : pool;
    if (pool) yield { kind: 'AddressPool', metadata: metadataOf('AddressPool', name), spec };
  }
  for (const [name, service] of Object.entries(step.services)) {
    if (service === null) continue;
    const [namespace = '', bare = ''] = keyOf(name).split('/');
    const { annotations, labels, status: left, ...spec } = service;
    const before = world.service(keyOf(name));
    const kept = { ...before?.metadata.annotations, ...(annotations as object) };
    const metadata = { ...metadataOf('Service', bare, namespace), labels, finalizers: before?.metadata.finalizers };
    const usual = { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge', ports: [{ port: 80 }] };
    const plain = { ...usual, ipFamilies: ['IPv4'], ...spec };
    const given = Object.fromEntries(Object.entries(plain).filter(([, value]) => value !== null));
    const noted = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== null));
    const status = before?.status ?? left;
    yield { kind: 'Service', metadata: { ...metadata, annotations: noted }, spec: given, status };
  }
}

function keyOf(name: string): string {
  return name.includes('/') ? name : `demo/${name}`;
}

/** Of all Services: what is written down; in brackets what is promised, where that is something else. */
function addressesIn(world: AddressWorld): Record<string, string> {
  const addresses: Record<string, string> = {};
  for (const object of world.objects.values()) {
    if (object.kind !== 'Service') continue;
    const { name, namespace, annotations } = object.metadata;
    const written = annotations['sluice.dev/allocation'] ?? 'none';
    const isTold =
      written
        .split(',')
        .map((each) => each.split('/')[1] ?? '')
        .join() === ipsOf(object).join();
    addresses[namespace === 'demo' ? name : `${namespace}/${name}`] = isTold
      ? written
      : `${written} (${ipsOf(object)})`;
  }
  return addresses;
}
