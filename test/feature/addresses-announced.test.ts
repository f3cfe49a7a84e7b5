import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AnnouncedBy } from '#table/announced.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { AddressRig, loadBalancer, node, type TestEdge } from './addressrig.ts';

const skip = await skipWithoutApiServer();
const nodes = ['n1', 'n2', 'n3'] as const;

describe('which nodes announce an address, as Events on its Services', { skip, timeout: 300_000 }, () => {
  let rig: AddressRig;
  const edges = new Map<string, TestEdge>();

  before(async () => {
    rig = await AddressRig.start();
    await rig.api.apply(...nodes.map((name) => node(name)));
    await rig.startController();
    await rig.startController();
    for (const name of nodes) edges.set(name, rig.startEdge(name));
    await rig.makeNamespace('told', ['192.0.2.1-192.0.2.9']);
  });

  after(() => rig?.stop());

  function announce(name: (typeof nodes)[number], ...announced: AnnouncedBy[]): void {
    const edge = edges.get(name);
    assert.ok(edge);
    edge.announces = announced;
  }

  async function notes(service: Parameters<AddressRig['events']>[0]): Promise<string[]> {
    const events = await rig.events(service);
    return events.filter(({ reason }) => reason === 'AnnouncedFrom').map(({ note }) => note);
  }

  test('layer 2: the node that has it, and the next one after a move, once each', async () => {
    const service = loadBalancer('told', 'one');
    const address = { way: 'layer2', address: '192.0.2.1' } as const;
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.1');
    assert.deepEqual(await notes(service), []);
    announce('n1', address);
    await rig.hasEvent(service, 'AnnouncedFrom', /^192\.0\.2\.1 is announced from n1 by layer 2\.$/);
    // As in a move: the new node has it before the old one lets go.
    announce('n2', address);
    await rig.hasEvent(service, 'AnnouncedFrom', /^192\.0\.2\.1 is announced from n2 by layer 2\.$/);
    announce('n1');
    const [, , third] = edges.values();
    assert.ok(third);
    third.announces = [{ way: 'bgp', address: '192.0.2.1' }];
    await rig.hasEvent(service, 'AnnouncedFrom', /^192\.0\.2\.1 is announced from n3 by BGP\.$/);
    assert.equal((await notes(service)).length, 3);
    announce('n2');
    announce('n3');
  });

  test('BGP: all nodes in one Event, and every Service that shares the address hears it', async () => {
    const shared = (name: string, port: number) =>
      loadBalancer('told', name, { ports: [{ port }] }, { annotations: { 'sluice.dev/sharing-key': 'k' } });
    const web = shared('web', 80);
    await rig.api.apply(web);
    await rig.hasAddresses(web, '192.0.2.2');
    const address = { way: 'bgp', address: '192.0.2.2' } as const;
    for (const name of nodes) announce(name, address);
    await rig.hasEvent(web, 'AnnouncedFrom', /^192\.0\.2\.2 is announced from 3 nodes by BGP: n1, n2, n3\.$/);
    const late = shared('late', 81);
    await rig.api.apply(late);
    await rig.hasEvent(late, 'AnnouncedFrom', /from 3 nodes by BGP: n1, n2, n3\.$/);
  });

  test('an address that no Service has is told of nobody, and hurts no other', async () => {
    const service = loadBalancer('told', 'after');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.3');
    const foreign = Array.from({ length: 6_000 }, (_, n) => `198.18.${n >> 8}.${n & 255}`);
    announce(
      'n1',
      { way: 'layer2', address: '192.0.2.3' },
      ...foreign.map((address) => ({ way: 'layer2', address }) as const),
    );
    await rig.hasEvent(service, 'AnnouncedFrom', /^192\.0\.2\.3 is announced from n1 by layer 2\.$/);
    const { body } = await rig.api.call('GET', '/apis/events.k8s.io/v1/events');
    assert.doesNotMatch(JSON.stringify(body), /198\.18\./);
  });

  test('the next leader goes on: it has heard what the last one has', async () => {
    const service = loadBalancer('told', 'anew');
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.4');
    const pages = await Promise.all(rig.controllers.map(async (each) => await rig.page(each, '/metrics')));
    const at = pages.findIndex((text) => /^sluice_controller_leader 1$/m.test(text));
    const [leader] = rig.controllers.splice(at, 1);
    assert.ok(leader && rig.controllers.length === 1);
    await leader.process.stop();
    announce('n2', { way: 'layer2', address: '192.0.2.4' });
    await rig.hasEvent(service, 'AnnouncedFrom', /^192\.0\.2\.4 is announced from n2 by layer 2\.$/);
  });
});
