import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { skipWithoutApiServer } from '../kit/assets.ts';
import { eventually, waitUntil } from '../kit/wait.ts';
import { AddressRig, loadBalancer, type TestEdge } from './addressrig.ts';

const skip = await skipWithoutApiServer();
const names = ['a', 'b', 'c', 'd', 'e'];
/** A Lease runs for 15 s when its holder goes without a word. */
const leaseMs = 60_000;

describe('behaviour 10: leaders come and go', { skip, timeout: 300_000 }, () => {
  let rig: AddressRig;
  let edge: TestEdge;
  const services = names.map((name) => loadBalancer('ten', name));

  before(async () => {
    rig = await AddressRig.start();
    await rig.startController();
    await rig.startController();
    edge = rig.startEdge('n1');
    await rig.makeNamespace('ten', ['192.0.2.1-192.0.2.4']);
  });

  after(() => rig?.stop());

  /** By Service: what it has been promised. */
  async function promised(): Promise<Record<string, string>> {
    const all = await Promise.all(services.map(async (service) => (await rig.facts(service)).status.loadBalancer));
    return Object.fromEntries(names.map((name, i) => [name, all[i]?.ingress.map(({ ip }) => ip).join() ?? '']));
  }

  async function leader(): Promise<number> {
    const lines = await Promise.all(
      rig.controllers.map(async (each) => await rig.page(each, '/metrics').catch(() => '')),
    );
    return lines.findIndex((text) => /^sluice_controller_leader 1$/m.test(text));
  }

  test('a leader that goes leaves everything where it is, and who waits is served by the next', async () => {
    await rig.api.apply(...services);
    const before = await eventually(async () => {
      const now = await promised();
      return Object.values(now).filter((ips) => ips !== '').length === 4 ? now : undefined;
    }, 'four addresses');
    const [waiting = ''] = names.filter((name) => before[name] === '');
    const [leaving = ''] = names.filter((name) => name !== waiting);
    const at = await eventually(async () => {
      const index = await leader();
      return index >= 0 ? index : undefined;
    }, 'a leader');
    const [process] = rig.controllers.splice(at, 1);
    await process?.process.stop();
    await rig.api.call('PATCH', `/api/v1/namespaces/ten/services/${leaving}`, {
      spec: { type: 'ClusterIP', loadBalancerClass: null },
    });
    const after = await eventually(async () => {
      const now = await promised();
      return now[waiting] === '' ? undefined : now;
    }, 'the one that waits to be served');
    assert.deepEqual(after, { ...before, [waiting]: before[leaving], [leaving]: '' });
    await rig.api.call('PATCH', `/api/v1/namespaces/ten/services/${leaving}`, {
      spec: { type: 'LoadBalancer', loadBalancerClass: 'sluice.dev/edge' },
    });
  });

  test('a leader that is killed before it could tell leaves the address to the same Service', async () => {
    await rig.makeNamespace('killed', ['192.0.2.20-192.0.2.29']);
    const service = loadBalancer('killed', 'web');
    edge.hold();
    await rig.api.apply(service);
    const { metadata } = await eventually(async () => {
      const facts = await rig.facts(service);
      return facts.metadata.annotations['sluice.dev/allocation'] ? facts : undefined;
    }, 'the address to be written down');
    for (const { process } of rig.controllers.splice(0)) {
      process.signal('SIGKILL');
      await process.ended();
    }
    // A Service that comes while nobody leads must not get it.
    await rig.api.apply(loadBalancer('killed', 'a-later-one'));
    const before = await promised();
    await rig.startController();
    edge.release();
    rig.startEdge('n1');
    const told = await eventually(
      async () => {
        const facts = await rig.facts(service);
        return facts.status.loadBalancer.ingress.length > 0 ? facts : undefined;
      },
      'the status',
      leaseMs,
    );
    const [given] = told.status.loadBalancer.ingress;
    assert.equal(`killed/${given?.ip}`, metadata.annotations['sluice.dev/allocation']);
    await rig.hasAddresses(loadBalancer('killed', 'a-later-one'), '192.0.2.21');
    assert.deepEqual(await promised(), before);
  });
});

describe('who may follow a plan', { skip, timeout: 120_000 }, () => {
  let rig: AddressRig;

  before(async () => {
    rig = await AddressRig.start();
    const accounts = ['--proxy-service-account', 'default/proxy', '--edge-service-account', 'default/edge'];
    await rig.startController(accounts);
  });

  after(() => rig?.stop());

  test('an edge, for its own node; no proxy and no edge of another node', async () => {
    const good = rig.startEdge('n1', await rig.makeToken('edge', 'n1'));
    const stranger = rig.startEdge('n1', await rig.makeToken('proxy', 'n1'));
    const impostor = rig.startEdge('n2', await rig.makeToken('edge', 'n1'));
    await waitUntil(() => good.plan.node.has('n1'), 'the plan');
    await waitUntil(() => /answered 401/.test(stranger.state().lastError ?? ''), 'the proxy to be refused');
    await waitUntil(() => /answered 403/.test(impostor.state().lastError ?? ''), 'the other node to be refused');
    assert.equal(stranger.plan.node.size + impostor.plan.node.size, 0);
    assert.equal(Buffer.from(good.plan.secret.get('edge/heartbeat')?.value ?? '', 'base64').length, 32);
  });
});
