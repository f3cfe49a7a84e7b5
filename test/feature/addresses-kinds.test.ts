import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pathOf } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { addressPool, announcement, installOwnKinds, ownDefinitions } from '../kit/ownkinds.ts';
import { eventually } from '../kit/wait.ts';
import { AddressRig, loadBalancer, type TestEdge } from './addressrig.ts';

const skip = await skipWithoutApiServer();

describe('the definitions of our kinds are removed, with all pools, and come back', { skip, timeout: 240_000 }, () => {
  let rig: AddressRig;
  let edge: TestEdge;
  const service = loadBalancer('kinds', 'kept');

  before(async () => {
    rig = await AddressRig.start();
    await rig.startController();
    edge = rig.startEdge('n1');
    await rig.makeNamespace('kinds', ['192.0.2.10-192.0.2.11']);
    await rig.api.apply(service);
    await rig.hasAddresses(service, '192.0.2.10');
  });

  after(() => rig?.stop());

  test('who has an address keeps it, in the status and in the plan', async () => {
    for (const definition of ownDefinitions()) {
      await rig.api.delete(definition);
      await eventually(
        async () => (await rig.api.call('GET', pathOf(definition))).status === 404 || undefined,
        `${definition.metadata.name} to be gone`,
      );
    }
    await rig.hasEvent(service, 'AddressKept', /no AddressPool holds it any more/);
    const { status } = await rig.facts(service);
    assert.deepEqual(
      status.loadBalancer.ingress.map(({ ip }) => ip),
      ['192.0.2.10'],
    );
    assert.ok(edge.plan.address.has('192.0.2.10'));
  });

  test('when they are back, with the same pool, the address is what it was, and others get the next', async () => {
    const other = loadBalancer('kinds', 'other');
    await rig.api.apply(other);
    await installOwnKinds(rig.api);
    await rig.api.apply(
      announcement('all', { l2: {} }),
      addressPool('kinds', { addresses: ['192.0.2.10-192.0.2.11'], namespaces: ['kinds'] }),
    );
    await rig.hasAddresses(other, '192.0.2.11');
    await rig.hasAddresses(service, '192.0.2.10');
  });
});
