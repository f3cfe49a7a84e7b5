import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Manifest, pathOf } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { addressPool } from '../kit/ownkinds.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { AddressRig, loadBalancer, node, type TestEdge } from './addressrig.ts';

const skip = await skipWithoutApiServer();
const finalizer = 'service.kubernetes.io/load-balancer-cleanup';

describe('addresses of Services on a real API server', { skip, timeout: 300_000 }, () => {
  let rig: AddressRig;
  let edge: TestEdge;

  before(async () => {
    rig = await AddressRig.start();
    await rig.startController();
    edge = rig.startEdge('n1');
  });

  after(() => rig?.stop());

  test('behaviour 1: one address for each family, in the pool, with an Event and the finalizer', async () => {
    await rig.makeNamespace('one', ['192.0.2.1-192.0.2.9', '2001:db8::1-2001:db8::9']);
    const four = loadBalancer('one', 'four');
    const both = loadBalancer('one', 'both', { ipFamilyPolicy: 'RequireDualStack', ipFamilies: ['IPv6', 'IPv4'] });
    await rig.api.apply(four);
    const { metadata, status } = await rig.hasAddresses(four, '192.0.2.1');
    assert.deepEqual(status.loadBalancer.ingress, [{ ip: '192.0.2.1', ipMode: 'VIP' }]);
    assert.deepEqual(metadata.finalizers, [finalizer]);
    assert.equal(metadata.annotations['sluice.dev/allocation'], 'one/192.0.2.1');
    await rig.api.apply(both);
    await rig.hasAddresses(both, '2001:db8::1', '192.0.2.2');
    await rig.hasEvent(both, 'AddressAllocated', /2001:db8::1 of AddressPool one and 192\.0\.2\.2 of AddressPool one/);
    assert.deepEqual(
      edge.plan.service.get('one/both')?.vips.map(({ address }) => address),
      ['2001:db8::1', '192.0.2.2'],
    );
    assert.deepEqual(edge.plan.address.get('192.0.2.2')?.announcementIds, ['all']);
    await rig.counts('one', { ipv4: { assigned: 2, available: 7 }, ipv6: { assigned: 1, available: 8 } });
  });

  test('behaviour 2: an exhausted pool is told, and who waits is served when another is deleted or changes its type', async () => {
    await rig.makeNamespace('two', ['192.0.2.20-192.0.2.21']);
    const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => loadBalancer('two', name)) as [
      ...[Manifest, Manifest, Manifest, Manifest],
    ];
    await rig.api.apply(a);
    await rig.hasAddresses(a, '192.0.2.20');
    await rig.api.apply(b);
    await rig.hasAddresses(b, '192.0.2.21');
    await rig.api.apply(c);
    await rig.hasEvent(c, 'AddressPoolExhausted', /No IPv4 address is free in AddressPool two/);
    assert.deepEqual((await rig.facts(c)).metadata.finalizers, []);
    await rig.api.delete(a);
    await rig.hasAddresses(c, '192.0.2.20');
    await rig.api.apply(d);
    await rig.hasEvent(d, 'AddressPoolExhausted', /two/);
    await rig.api.call('PATCH', pathOf(b), { spec: { type: 'ClusterIP', loadBalancerClass: null } });
    await rig.hasAddresses(d, '192.0.2.21');
    assert.deepEqual((await rig.facts(b)).metadata.finalizers, []);
  });

  test('behaviour 7: a requested address is honoured, or told why not; the names of MetalLB do the same', async () => {
    await rig.makeNamespace('seven', ['192.0.2.30-192.0.2.39']);
    const annotated = (name: string, annotations: Record<string, string>) =>
      loadBalancer('seven', name, {}, { annotations });
    const own = annotated('own', { 'sluice.dev/addresses': '192.0.2.35' });
    const metallb = annotated('metallb', { 'metallb.io/loadBalancerIPs': '192.0.2.36' });
    const field = loadBalancer('seven', 'field', { loadBalancerIP: '192.0.2.37' });
    const outside = annotated('outside', { 'sluice.dev/addresses': '203.0.113.1' });
    const taken = annotated('taken', { 'metallb.io/loadBalancerIPs': '192.0.2.35' });
    await rig.api.apply(own);
    await rig.hasAddresses(own, '192.0.2.35');
    await rig.api.apply(metallb, field, outside, taken);
    await rig.hasAddresses(metallb, '192.0.2.36');
    await rig.hasAddresses(field, '192.0.2.37');
    await rig.hasEvent(outside, 'AddressOutsidePools', /203\.0\.113\.1/);
    await rig.hasEvent(taken, 'AddressTaken', /held by Service seven\/own/);
    for (const none of [outside, taken]) {
      const { metadata, status } = await rig.facts(none);
      assert.deepEqual([status.loadBalancer.ingress, metadata.finalizers], [[], []]);
    }
  });

  test('behaviour 8: Services with one sharing key and different ports have one address', async () => {
    await rig.makeNamespace('eight', ['192.0.2.40-192.0.2.41']);
    const shared = (name: string, ports: object[], key = 'k') =>
      loadBalancer('eight', name, { ports }, { annotations: { 'metallb.io/allow-shared-ip': key } });
    const web = shared('web', [{ port: 80 }]);
    const dns = shared('dns', [{ port: 53, protocol: 'UDP' }]);
    const clash = shared('clash', [{ port: 80 }]);
    await rig.api.apply(web);
    await rig.hasAddresses(web, '192.0.2.40');
    await rig.api.apply(dns);
    await rig.hasAddresses(dns, '192.0.2.40');
    await rig.api.apply(clash);
    await rig.hasAddresses(clash, '192.0.2.41');
    assert.deepEqual(edge.plan.address.get('192.0.2.40')?.serviceIds, ['eight/dns', 'eight/web']);
    // The last one that has it takes it away.
    await rig.api.delete(web);
    await waitUntil(() => edge.plan.address.get('192.0.2.40')?.serviceIds.join() === 'eight/dns', 'web to go');
    await rig.api.delete(dns);
    await waitUntil(() => !edge.plan.address.has('192.0.2.40'), 'the address to go');
    await rig.counts('eight', { ipv4: { assigned: 1, available: 1 } });
  });

  test('behaviour 9: PreferDualStack gains the second address when the pool gains the family', async () => {
    await rig.makeNamespace('nine', ['192.0.2.50-192.0.2.59']);
    const prefer = loadBalancer('nine', 'prefer', { ipFamilyPolicy: 'PreferDualStack' });
    const require = loadBalancer('nine', 'require', { ipFamilyPolicy: 'RequireDualStack' });
    await rig.api.apply(prefer);
    await rig.hasAddresses(prefer, '192.0.2.50');
    await rig.api.apply(require);
    await rig.hasEvent(require, 'DualStackIncomplete', /there is no IPv6 one/);
    await rig.makeNamespace('nine', ['192.0.2.50-192.0.2.59', '2001:db8:9::1-2001:db8:9::9']);
    await rig.hasAddresses(prefer, '192.0.2.50', '2001:db8:9::1');
    await rig.hasAddresses(require, '192.0.2.51', '2001:db8:9::2');
  });

  test('behaviour 11: deleting a pool in use takes nothing away and tells the Services', async () => {
    await rig.makeNamespace('eleven', ['192.0.2.60']);
    const service = loadBalancer('eleven', 'kept');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.60');
    await rig.api.apply(addressPool('younger', { addresses: ['192.0.2.60-192.0.2.61'], autoAssign: false }));
    await rig.hasEvent(addressPool('younger', {}), 'AddressPoolOverlaps', /AddressPool eleven, which is older/);
    await rig.api.delete(addressPool('younger', {}), addressPool('eleven', {}));
    await rig.hasEvent(service, 'AddressKept', /no AddressPool holds it any more \(it came from eleven\)/);
    assert.equal((await rig.facts(service)).status.loadBalancer.ingress[0]?.ip, '192.0.2.60');
    assert.ok(edge.plan.address.has('192.0.2.60'));
  });

  test('behaviour 12: a foreign class is not touched, nor a Service without one', async () => {
    await rig.makeNamespace('twelve', ['192.0.2.70-192.0.2.79']);
    const foreign = loadBalancer('twelve', 'foreign', { loadBalancerClass: 'example.com/lb' });
    const classless = loadBalancer('twelve', 'classless', { loadBalancerClass: undefined });
    await rig.api.apply(foreign, classless);
    const before = [await rig.facts(foreign), await rig.facts(classless)];
    const marker = loadBalancer('twelve', 'marker');
    await rig.api.apply(marker);
    await rig.hasAddresses(marker, '192.0.2.70');
    assert.deepEqual([await rig.facts(foreign), await rig.facts(classless)], before);
    assert.deepEqual([...(await rig.events(foreign)), ...(await rig.events(classless))], []);
    assert.deepEqual(edge.plan.service.get('twelve/foreign')?.vips, []);
  });

  test('behaviour 13: LoadBalancer to ClusterIP takes everything back, in order, and the way back gives an address again', async () => {
    await rig.makeNamespace('thirteen', ['192.0.2.80']);
    const service = loadBalancer('thirteen', 'web');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.80');
    edge.hold();
    await rig.api.call('PATCH', pathOf(service), { spec: { type: 'ClusterIP', loadBalancerClass: null } });
    const other = loadBalancer('thirteen', 'other');
    await rig.api.apply(other);
    await rig.hasEvent(other, 'AddressPoolExhausted', /thirteen/);
    assert.deepEqual((await rig.facts(service)).metadata.finalizers, [finalizer], 'an edge may still announce it');
    edge.release();
    await rig.hasAddresses(other, '192.0.2.80');
    const { metadata } = await rig.facts(service);
    assert.deepEqual([metadata.finalizers, metadata.annotations['sluice.dev/allocation']], [[], undefined]);
    await rig.api.delete(other);
    await rig.api.call('PATCH', pathOf(service), service);
    await rig.hasAddresses(service, '192.0.2.80');
  });

  test('behaviour 14: another port keeps the address', async () => {
    await rig.makeNamespace('fourteen', ['192.0.2.90-192.0.2.99']);
    const service = loadBalancer('fourteen', 'web');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.90');
    await rig.api.call('PATCH', pathOf(service), { spec: { ports: [{ name: 'http', port: 8080 }] } });
    await waitUntil(() => edge.plan.service.get('fourteen/web')?.ports[0]?.port === 8080, 'the new port');
    await rig.hasAddresses(service, '192.0.2.90');
  });

  test('a deleted Service goes when no edge has it any more', async () => {
    await rig.makeNamespace('deleted', ['192.0.2.100']);
    const service = loadBalancer('deleted', 'web');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.100');
    edge.hold();
    await rig.api.delete(service);
    const marker = loadBalancer('deleted', 'marker');
    await rig.api.apply(marker);
    await rig.hasEvent(marker, 'AddressPoolExhausted', /deleted/);
    assert.ok((await rig.facts(service)).metadata.deletionTimestamp);
    edge.release();
    await eventually(
      async () => (await rig.api.call('GET', pathOf(service))).status === 404 || undefined,
      'the Service to go',
    );
    await rig.hasAddresses(marker, '192.0.2.100');
  });

  test('no status before every edge that may announce the address has it', async () => {
    await rig.makeNamespace('promise', ['192.0.2.110-192.0.2.119']);
    await rig.api.apply(node('n2'), node('n3', { 'node.kubernetes.io/exclude-from-external-load-balancers': '' }));
    const [second, excluded] = [rig.startEdge('n2'), rig.startEdge('n3')];
    await waitUntil(() => second.plan.node.size === 3 && excluded.plan.node.size === 3, 'the other edges');
    second.hold();
    excluded.hold();
    const service = loadBalancer('promise', 'web');
    await rig.api.apply(service);
    await waitUntil(() => edge.plan.address.has('192.0.2.110'), 'the first edge to have it');
    assert.deepEqual((await rig.facts(service)).status.loadBalancer.ingress, []);
    second.release();
    await rig.hasAddresses(service, '192.0.2.110');
    await second.stop();
    await excluded.stop();
    await rig.api.delete(node('n2'), node('n3'));
  });

  test('an address that nobody announces is told, and promised when somebody does', async () => {
    await rig.makeNamespace('silent', ['192.0.2.120']);
    await rig.api.call('PATCH', pathOf(node('n1')), {
      metadata: { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } },
    });
    const service = loadBalancer('silent', 'web');
    await rig.api.apply(service);
    await rig.hasEvent(service, 'AddressWithoutNode', /No node may announce 192\.0\.2\.120/);
    assert.deepEqual((await rig.facts(service)).status.loadBalancer.ingress, []);
    await rig.api.call('PATCH', pathOf(node('n1')), {
      metadata: { labels: { 'node.kubernetes.io/exclude-from-external-load-balancers': null } },
    });
    await rig.hasAddresses(service, '192.0.2.120');
  });

  test('somebody else who writes the same status is not fought', async () => {
    await rig.makeNamespace('contested', ['192.0.2.130']);
    const service = loadBalancer('contested', 'web');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.130');
    const status = { loadBalancer: { ingress: [{ ip: '198.51.100.7' }] } };
    await rig.api.call('PATCH', `${pathOf(service)}/status`, { status });
    await rig.controllers[0]?.process.printed(/"service":"contested\/web".*somebody else keeps changing it/);
    await rig.hasAddresses(service, '198.51.100.7');
    await rig.api.delete(service);
  });

  test('pages and metrics show pools, addresses and edges', async () => {
    const [controller] = rig.controllers;
    assert.ok(controller);
    const addresses = JSON.parse(await rig.page(controller, '/addresses'));
    assert.deepEqual(addresses.services['one/four'], ['192.0.2.1']);
    assert.deepEqual(addresses.pools.one.ipv4, { assigned: 2, available: 7 });
    const edges = JSON.parse(await rig.page(controller, '/edges'));
    assert.deepEqual(
      edges.map(({ node, connected }: { node: string; connected: string }) => [node, connected]),
      [['n1', 'here']],
    );
    const metrics = await rig.page(controller, '/metrics');
    assert.match(metrics, /^sluice_controller_pool_addresses\{pool="one",family="ipv6",state="available"\} 8$/m);
    assert.match(metrics, /^sluice_controller_edges\{connected="here"\} 1$/m);
    assert.match(metrics, /^sluice_controller_edges_refusing 0$/m);
  });
});
