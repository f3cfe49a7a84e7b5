import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf, type ServiceFields } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns();

describe('edge: affinity of clients', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('affinity', { podsPerNode: [2, 2] });
    for (const host of clients)
      await lab.client.netns.ip(`addr add ${host}/24 dev eth0`, `addr add ${six(host)}/64 dev eth0 nodad`);
    await lab.apply(lab.nodeRows());
  });

  after(() => lab?.close());

  const clients = Array.from({ length: 12 }, (_, i) => `172.30.0.${150 + i}`);
  const six = (address: string) => `fd30::${address.split('.')[3]}`;
  const set = (pods: string[], fields: ServiceFields = {}) =>
    lab.apply(
      lab.service('stick', pods, {
        clusterIps: ['10.96.2.1', 'fd96:2::1'],
        vips: [{ address: '192.0.2.50', owner: 'sluice', ipMode: 'vip' }],
        nodePort: 30_050,
        affinityTimeoutSeconds: 10_800,
        ...fields,
      }),
    );
  const ask = async (from: string, address = '10.96.2.1', port = 80, count = 2) =>
    namesOf(await lab.client.ask({ protocol: 'tcp', address, port, count, from }));
  const endpointsOf = async (address?: string) => {
    const byClient: Record<string, string[]> = {};
    for (const client of clients) byClient[client] = await ask(address?.includes(':') ? six(client) : client, address);
    return byClient;
  };

  test('behaviour 35: a client’s connections reach one endpoint, by whatever address of the Service; clients spread', async () => {
    await set(['pod-1a', 'pod-1b', 'pod-2a']);
    assert.equal((await ask(clients[0] ?? '', '10.96.2.1', 80, 50)).length, 1);
    for (const address of ['10.96.2.1', 'fd96:2::1']) {
      const byClient = await endpointsOf(address);
      assert.ok(Object.values(byClient).every((names) => names.length === 1));
      assert.ok(new Set(Object.values(byClient).flat()).size > 1, JSON.stringify(byClient));
    }
    for (const client of clients.slice(0, 4)) {
      const own = await ask(client);
      assert.deepEqual(await ask(client, '192.0.2.50'), own);
      assert.deepEqual(await ask(client, lab.node.address, 30_050), own);
    }
  });

  test('behaviour 35: endpoints that come move nobody; one that goes moves its own clients only', async () => {
    for (const address of ['10.96.2.1', 'fd96:2::1']) {
      await set(['pod-1a', 'pod-2a']);
      const before = await endpointsOf(address);
      await set(['pod-1a', 'pod-1b', 'pod-2a', 'pod-2b']);
      assert.deepEqual(await endpointsOf(address), before);
      await set(['pod-1b', 'pod-2a', 'pod-2b']);
      const after = await endpointsOf(address);
      for (const [client, [endpoint]] of Object.entries(before)) {
        if (endpoint === 'pod-1a') assert.ok(after[client]?.length === 1 && after[client][0] !== 'pod-1a');
        else assert.deepEqual(after[client], [endpoint]);
      }
    }
  });

  test('affinity outlives the agent, and another agent’s start from nothing but the plan', async () => {
    // What clients remember is not what they would choose now.
    await set(['pod-1a', 'pod-2a']);
    const bothFamilies = async () => [await endpointsOf(), await endpointsOf('fd96:2::1')];
    const before = await bothFamilies();
    const all = ['pod-1a', 'pod-1b', 'pod-2a', 'pod-2b'];
    await set(all);
    await lab.restartAgent();
    assert.deepEqual(await bothFamilies(), before, 'while nobody has told the new one a plan');
    // A Service that comes first in the plan must not take the numbers of the others.
    await lab.apply(lab.service('a-first', ['pod-1a'], { clusterIps: ['10.96.2.9'], affinityTimeoutSeconds: 60 }));
    await lab.resend();
    assert.deepEqual(await bothFamilies(), before);
    await set(all.slice(0, 3));
    assert.deepEqual(await bothFamilies(), before);
  });

  test('behaviour 35: it can be switched off and on; the kernel forgets a client that stays away', async () => {
    const [client = ''] = clients;
    const all = ['pod-1a', 'pod-1b', 'pod-2a', 'pod-2b'];
    await set(all, { affinityTimeoutSeconds: null });
    assert.ok((await ask(client, '10.96.2.1', 80, 40)).length > 1);
    await set(all, { affinityTimeoutSeconds: 60 });
    assert.equal((await ask(client, '10.96.2.1', 80, 20)).length, 1);
    await set(all, { affinityTimeoutSeconds: 1 });
    const listed = () => lab.node.netns.exec('nft', 'list', 'map', 'inet', 'sluice', 'affinity4');
    const remembered = new RegExp(`${client} . 8000:\\w+ timeout \\w+ expires \\d+ms`);
    // A look that comes after the second finds nothing.
    await eventually(async () => {
      await ask(client, '10.96.2.1', 80, 1);
      return remembered.test(await listed()) || undefined;
    }, 'the kernel to remember it for a second');
    await eventually(
      async () => ((await listed()).includes(`${client} . `) ? undefined : true),
      'the kernel to forget',
    );
    await set(all, { affinityTimeoutSeconds: 60 });
    assert.equal((await ask(client, '10.96.2.1', 80, 20)).length, 1);
  });

  test('however often a tenant changes how long clients stay, chains do not heap up; clients stay meanwhile', async () => {
    const [client = ''] = clients;
    const pods = ['pod-1a', 'pod-1b', 'pod-2a'];
    const sticky = async () => {
      const listed = await lab.node.netns.exec('nft', 'list', 'chains', 'inet');
      return [...listed.matchAll(/chain (sticky[46]_3_77\d) /g)].map(([, name]) => name).sort();
    };
    await set(pods, { affinityTimeoutSeconds: 770 });
    const before = await ask(client);
    for (let seconds = 771; seconds < 780; seconds++) await set(pods, { affinityTimeoutSeconds: seconds });
    await lab.restartAgent();
    await lab.resend();
    const left = await eventually(
      async () => {
        const names = await sticky();
        return names.length <= 2 ? names : undefined;
      },
      'chains that nothing uses to go',
      60_000,
    );
    assert.deepEqual(left, ['sticky4_3_779', 'sticky6_3_779']);
    assert.deepEqual(await ask(client), before);
  });

  test('under Local, a client stays with an endpoint of the node', async () => {
    await set(['pod-1a', 'pod-1b', 'pod-2a', 'pod-2b'], { externalTrafficPolicy: 'local' });
    for (const client of clients.slice(0, 6)) {
      const [name = '', ...others] = await ask(client, '192.0.2.50', 80, 6);
      assert.match(name, /^pod-1/);
      assert.deepEqual(others, []);
    }
  });
});
