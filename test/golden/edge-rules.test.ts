import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { emptyPlan, type PlanRow, type PlanRows } from '#table/plan.ts';
import type { ServiceScope } from '../../proxy/edge/frontends.ts';
import { type Recalled, Renderer } from '../../proxy/edge/renderer.ts';
import type { Transaction } from '../../proxy/edge/transaction.ts';
import type { Delta } from '../../proxy/receive/changes.ts';
import { applyDelta, deltaFromNothing, deltaOf } from '../../proxy/receive/delta.ts';
import { plainEndpoint, planRow } from '../kit/plans.ts';

const nothingRecalled: Recalled = { portIdByElement: new Map(), numbersByList: new Map(), gone: [], choosers: [] };

function renderer(scope: ServiceScope = 'all', recalled = nothingRecalled) {
  return new Renderer({ node: 'node-a', scope, podCidrs: null, hasPodInterfaces: false }, recalled);
}

/** What sets hold after transactions: a strict reader of their text, where what is removed is there and what is added is not. */
class Elements {
  readonly values = new Map<string, string>();

  take(transaction: Transaction): void {
    const text = transaction
      .texts()
      .join('')
      .replace(/^.*?(?=^(?:add|delete) element|(?![\s\S]))/ms, '');
    for (const [, verb, set, body = ''] of text.matchAll(/^(add|delete) element inet sluice (\w+) \{ (.*?) \}$/gms)) {
      for (const element of body.split(',\n')) {
        const [, key = '', value = ''] = /^(.*?)(?: (comment .*|timeout .*|: .*))?$/.exec(element) ?? [];
        const name = `${set} ${key}`;
        if (verb === 'delete') assert.ok(this.values.delete(name), `${name} is deleted and was there`);
        else if (!set?.startsWith('gone')) assert.ok(!this.values.has(name), `${name} is added and was not there`);
        if (verb === 'add') this.values.set(name, value);
      }
    }
  }

  /** Without `gone`, which forgets by itself. */
  plain(): string[] {
    return [...this.values]
      .map((each) => each.join(' ').trim())
      .filter((line) => !line.startsWith('gone'))
      .sort();
  }
}

const service = (fields: Partial<PlanRows['service']> = {}) =>
  planRow('service', {
    id: 'shop/web',
    namespace: 'shop',
    name: 'web',
    clusterIps: ['10.96.0.1'],
    ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: null, endpointsId: 'shop/web/tcp/80' }],
    ...fields,
  });

const endpoints = (...hosts: number[]) =>
  planRow('endpoints', {
    id: 'shop/web/tcp/80',
    endpoints: hosts.map((host) => ({
      ...plainEndpoint,
      address: `10.1.0.${host}`,
      port: 8080,
      node: host < 10 ? 'node-a' : 'node-b',
    })),
  });

const node = planRow('node', { id: 'node-a', addresses: ['172.30.0.1'], podCidrs: ['10.1.0.0/24'] });

/** The elements of a plan, without those of the node. */
function elementsOf(rows: readonly PlanRow[], scope: ServiceScope = 'all'): string[] {
  const plan = emptyPlan();
  const delta: Delta<PlanRows> = { upserts: [node, ...rows], deletes: [] };
  applyDelta(plan, delta);
  const rules = renderer(scope);
  rules.apply(plan, delta);
  const elements = new Elements();
  elements.take(rules.whole());
  return elements.plain().filter((line) => !/^(node|pod|inside)[46] /.test(line));
}

test('edge rules: a cluster address is an entry, a list and its endpoints', () => {
  assert.deepEqual(elementsOf([service(), endpoints(11, 12)]), [
    'address4 10.96.0.1',
    'endpoint4 8000:2001 : 10.1.0.11 . 8080',
    'endpoint4 8000:2002 : 10.1.0.12 . 8080',
    'lists 8000:2000 : goto pick_2',
    'service4 10.96.0.1 . tcp . 80 comment "shop/web:http" : 8000:2000',
  ]);
});

test('edge rules: a Service without endpoints is refused', () => {
  assert.ok(elementsOf([service(), endpoints()]).includes('lists 8000:2000 : goto refuse'));
});

test('edge rules: policies choose the list, and guard what they guard', () => {
  const rows = [
    service({
      vips: [{ address: '192.0.2.1', owner: 'sluice', ipMode: 'vip' }],
      ports: [{ name: 'http', protocol: 'tcp', port: 80, nodePort: 30_080, endpointsId: 'shop/web/tcp/80' }],
      externalTrafficPolicy: 'local',
      sourceRanges: ['198.51.100.7/24', '198.51.100.128/25', '172.30.0.0/24'],
    }),
    endpoints(1, 11),
  ];
  assert.deepEqual(elementsOf(rows), [
    'address4 10.96.0.1',
    'address4 192.0.2.1',
    'endpoint4 8000:2001 : 10.1.0.1 . 8080',
    'endpoint4 8000:2002 : 10.1.0.11 . 8080',
    'endpoint4 8000:3001 : 10.1.0.1 . 8080',
    'hairpin4 10.1.0.1 . 10.1.0.1',
    'lists 8000:2000 : goto pick_2',
    'lists 8000:3000 : goto pick_1',
    'nodeport4 tcp . 30080 comment "shop/web:http" : 8000:2003',
    'range4 8000:2007 . 172.30.0.0/24',
    'range4 8000:2007 . 192.0.2.1/32',
    'range4 8000:2007 . 198.51.100.0/24',
    'service4 10.96.0.1 . tcp . 80 comment "shop/web:http" : 8000:2000',
    'service4 192.0.2.1 . tcp . 80 comment "shop/web:http" : 8000:2007',
  ]);
});

test('edge rules: local without an endpoint here drops; without any endpoint it is refused like the rest', () => {
  const local = service({ internalTrafficPolicy: 'local' });
  assert.ok(elementsOf([local, endpoints(11)]).includes('lists 8000:3000 : drop'));
  assert.ok(elementsOf([local, endpoints()]).includes('lists 8000:3000 : goto refuse'));
});

test('edge rules: scopes', () => {
  const rows = [
    service({
      vips: [
        { address: '192.0.2.1', owner: 'sluice', ipMode: 'proxy' },
        { address: '192.0.2.2', owner: 'other', ipMode: 'vip' },
        { address: '192.0.2.3', owner: 'other', ipMode: 'proxy' },
      ],
      externalIps: ['203.0.113.1'],
      ports: [{ name: 'http', protocol: 'sctp', port: 80, nodePort: 30_080, endpointsId: 'shop/web/tcp/80' }],
    }),
    endpoints(11),
  ];
  const entries = (scope: ServiceScope) =>
    elementsOf(rows, scope)
      .filter((line) => /^(service|nodeport)/.test(line))
      .map((line) => line.split(' ')[1]);
  assert.deepEqual(entries('loadbalancer'), ['192.0.2.1']);
  assert.deepEqual(entries('nodeport'), ['sctp', '192.0.2.1']);
  assert.deepEqual(entries('all'), ['sctp', '10.96.0.1', '192.0.2.1', '192.0.2.2', '203.0.113.1']);
});

test('edge rules: a Service cannot take the address of another; who came first by rank and name has it, whatever the order', () => {
  const thief = service({
    id: 'evil/thief',
    namespace: 'evil',
    name: 'thief',
    clusterIps: ['10.96.0.9'],
    externalIps: ['10.96.0.1'],
  });
  for (const rows of [
    [service(), thief],
    [thief, service()],
  ]) {
    const plan = emptyPlan();
    const rules = renderer();
    const elements = new Elements();
    for (const row of [endpoints(11), ...rows]) {
      const delta: Delta<PlanRows> = { upserts: [row], deletes: [] };
      applyDelta(plan, delta);
      elements.take(rules.apply(plan, delta));
    }
    assert.match(elements.values.get('service4 10.96.0.1 . tcp . 80') ?? '', /shop\/web/);
    assert.deepEqual(
      rules.problems(plan).map(({ code, message }) => [code, message]),
      [['AddressTaken', '10.96.0.1 tcp 80 belongs to shop/web already.']],
    );
  }
});

test('edge rules: an affinity list keeps the keys of its endpoints, over changes and over a restart', () => {
  const sticky = service({ affinityTimeoutSeconds: 60 });
  const keysOf = (elements: Elements) =>
    new Map([...elements.values].filter(([name]) => name.startsWith('sticky4')).map(([name, value]) => [value, name]));
  const plan = emptyPlan();
  const rules = renderer();
  const elements = new Elements();
  const step = (row: PlanRow) => {
    const delta: Delta<PlanRows> = { upserts: [row], deletes: [] };
    applyDelta(plan, delta);
    elements.take(rules.apply(plan, delta));
  };
  elements.take(rules.whole());
  for (const row of [node, sticky, endpoints(11, 12, 13)]) step(row);
  const before = keysOf(elements);
  step(endpoints(5, 11, 13, 14));
  const after = keysOf(elements);
  for (const target of [': 10.1.0.11 . 8080', ': 10.1.0.13 . 8080'])
    assert.equal(after.get(target), before.get(target));
  assert.equal(new Set(after.values()).size, 4, 'no two endpoints have one key');
  assert.ok(
    ![...after.values()].includes(before.get(': 10.1.0.12 . 8080') ?? ''),
    'a free key is not given out at once',
  );

  const numbers = new Map(
    [...after].map(([target, name]) => [target.slice(2), Number.parseInt(name.split(':')[1] ?? '', 16) & 0xfff]),
  );
  const recalled = {
    portIdByElement: new Map([['service4 10.96.0.1 . tcp . 80', 1]]),
    numbersByList: new Map([[0x8000_2000, numbers]]),
    gone: [],
    choosers: [],
  };
  const again = renderer('all', recalled);
  const other = service({
    id: 'a/first',
    namespace: 'a',
    name: 'first',
    clusterIps: ['10.96.0.7'],
    affinityTimeoutSeconds: 60,
  });
  const whole: Delta<PlanRows> = { upserts: [other, ...deltaFromNothing(plan).upserts], deletes: [] };
  applyDelta(plan, whole);
  again.apply(plan, whole);
  const restarted = new Elements();
  restarted.take(again.whole());
  const own = [...restarted.values].filter(([name]) => name.startsWith('sticky4 8000:2'));
  assert.deepEqual(new Map(own.map(([name, value]) => [value, name])), after);
});

test('edge rules: UDP endpoints that went are remembered, the last ones, in a new table and over a restart, too', () => {
  const dns = (from: number, to: number) => {
    const hosts = Array.from({ length: to - from }, (_, i) => from + i);
    const address = (host: number) => `10.${host >> 16}.${(host >> 8) & 255}.${host & 255}`;
    return planRow('endpoints', {
      id: 'shop/web/udp/53',
      endpoints: hosts.map((host) => ({ ...plainEndpoint, address: address(host), port: 53 })),
    });
  };
  const rows = service({
    ports: [{ name: 'dns', protocol: 'udp', port: 53, nodePort: null, endpointsId: 'shop/web/udp/53' }],
  });
  const plan = emptyPlan();
  const rules = renderer();
  const elements = new Elements();
  const goneOf = ({ values }: Elements) => [...values.keys()].filter((name) => name.startsWith('gone4'));
  const change = (...upserts: PlanRow[]) => {
    const delta = deltaOf(plan, { isSnapshot: false, upserts, deletes: [] });
    applyDelta(plan, delta);
    elements.take(rules.apply(plan, delta));
    const whole = new Elements();
    whole.take(rules.whole());
    assert.deepEqual(goneOf(whole).sort(), goneOf(elements).sort());
  };
  change(node, rows, dns(0, 70_000));
  assert.equal(goneOf(elements).length, 0);
  change(dns(40_000, 40_002));
  assert.equal(goneOf(elements).length, 32_768);
  change(dns(40_001, 40_003));
  assert.equal(goneOf(elements).length, 32_768);
  assert.ok(elements.values.has('gone4 10.0.156.64 . 53'), 'it went');
  assert.ok(!elements.values.has('gone4 10.0.156.66 . 53'), 'it is back');

  const again = renderer('all', { ...nothingRecalled, gone: ['gone4 10.0.156.64 . 53', 'gone4 10.0.156.65 . 53'] });
  const restarted = new Elements();
  restarted.take(again.apply(plan, deltaFromNothing(plan)));
  assert.deepEqual(goneOf(restarted), ['gone4 10.0.156.64 . 53']);
});

test('edge rules: chains that no list goes to any more are idle, and are made again when one does', () => {
  const plan = emptyPlan();
  const rules = renderer('all', { ...nothingRecalled, choosers: ['pick_7', 'pick_2'] });
  const change = (...upserts: PlanRow[]) => {
    const delta = deltaOf(plan, { isSnapshot: false, upserts, deletes: [] });
    applyDelta(plan, delta);
    return rules.apply(plan, delta).texts().join('');
  };
  const tidy = () => {
    const { idle } = rules.choosers;
    rules.choosers.forget(idle);
    rules.choosers.lookForIdle();
    return idle;
  };
  const other = service({ id: 'shop/other', name: 'other', clusterIps: ['10.96.0.2'] });
  change(node, service(), other, endpoints(11, 12));
  assert.deepEqual(tidy(), ['pick_7'], 'nobody has asked for what a former life left');
  for (const affinityTimeoutSeconds of [60, 61, 62]) change(service({ affinityTimeoutSeconds }));
  assert.deepEqual(tidy(), [], 'the kernel may not have noticed yet');
  change(service({ affinityTimeoutSeconds: 60 }));
  assert.deepEqual(tidy(), ['sticky4_2_61']);
  change(service({ affinityTimeoutSeconds: 61 }));
  assert.deepEqual(tidy(), ['sticky4_2_62']);
  assert.match(change(service({ affinityTimeoutSeconds: 62 })), /chain sticky4_2_62 \{/);
  const names = rules.choosers.all().map(({ name }) => name);
  assert.deepEqual(names.filter((name) => !name.startsWith('slot')).sort(), [
    'pick_2',
    'sticky4_2_60',
    'sticky4_2_61',
    'sticky4_2_62',
  ]);
});

test('edge rules: what changes add up to is what the whole table is, whatever the order', () => {
  const address = fc.constantFrom('10.96.0.1', '10.96.0.2', 'fd96::1', '172.30.0.1');
  const anyService = fc.record({
    id: fc.constantFrom('a/a', 'b/b', 'c/c'),
    clusterIps: fc.array(address, { maxLength: 2 }),
    externalIps: fc.array(address, { maxLength: 2 }),
    vips: fc.array(fc.record({ address, owner: fc.constant('sluice' as const), ipMode: fc.constant('vip' as const) }), {
      maxLength: 2,
    }),
    protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    nodePort: fc.constantFrom(null, 30_000),
    endpointsId: fc.constantFrom('e1', 'e2'),
    externalTrafficPolicy: fc.constantFrom('cluster' as const, 'local' as const),
    affinityTimeoutSeconds: fc.constantFrom(null, 60),
    sourceRanges: fc.constantFrom<string[]>([], ['10.0.0.0/8', '172.30.0.0/16']),
  });
  const anyRow = fc.oneof(
    anyService.map(({ protocol, nodePort, endpointsId, ...fields }) =>
      planRow('service', { ...fields, ports: [{ name: '', protocol, port: 80, nodePort, endpointsId }] }),
    ),
    fc
      .record({ id: fc.constantFrom('e1', 'e2'), hosts: fc.uniqueArray(fc.integer({ min: 1, max: 5 })) })
      .map(({ id, hosts }) =>
        planRow('endpoints', {
          id,
          endpoints: hosts.map((host) => ({
            ...plainEndpoint,
            address: host === 5 ? 'fd44::5' : `10.1.0.${host}`,
            port: 80,
            node: host < 3 ? 'node-a' : null,
            ready: host !== 4,
            serving: host !== 4,
          })),
        }),
      ),
    fc
      .constantFrom<string[]>([], ['10.1.0.0/24'])
      .map((podCidrs) => planRow('node', { id: 'node-a', addresses: ['172.30.0.1'], podCidrs })),
  );
  const change = fc.record({
    upserts: fc.array(anyRow, { maxLength: 4 }),
    gone: fc.array(fc.constantFrom('a/a', 'b/b', 'c/c'), { maxLength: 1 }),
  });
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 12 }), (changes) => {
      const plan = emptyPlan();
      const rules = renderer();
      const elements = new Elements();
      elements.take(rules.whole());
      for (const { upserts, gone } of changes) {
        const deletes = gone.map((id) => ({ kind: 'service' as const, id }));
        const delta = deltaOf(plan, { isSnapshot: false, upserts, deletes });
        applyDelta(plan, delta);
        elements.take(rules.apply(plan, delta));
        const whole = new Elements();
        whole.take(rules.whole());
        assert.deepEqual(elements.plain(), whole.plain());
        rules.choosers.forget(rules.choosers.idle);
        rules.choosers.lookForIdle();
        const chains = new Set(rules.choosers.all().map(({ name }) => name));
        for (const value of elements.values.values()) {
          const [, chain] = /^: goto (\w+_\w+)$/.exec(value) ?? [];
          if (chain !== undefined) assert.ok(chains.has(chain), chain);
        }
      }
    }),
    { numRuns: 300 },
  );
});
