import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { L2Lab } from '../kit/l2lab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['nft', 'sysctl', 'arping']);
const vip = '172.30.0.200';
const pods = ['pod-1a', 'pod-2a', 'pod-3a'];

/** Addresses live for a minute here: whatever moves within it was handed over. */
describe('layer 2: moves that are meant', { skip, timeout: 600_000 }, () => {
  let lab: L2Lab;
  let names: string[];

  before(async () => {
    if (skip) return;
    lab = await L2Lab.start('l2moves', [1, 1, 1], { lifetimeS: 60 });
    names = lab.agents.map(({ node }) => node.name);
    await lab.apply([lab.announcement(), ...lab.service('web', [vip], pods)]);
    await lab.holder(vip);
    for (const name of names) await lab.heard(name, 2);
  });

  after(() => lab?.close());

  const nobody = (address: string) =>
    eventually(async () => ((await lab.holders(address)).length === 0 ? true : undefined), `the end of ${address}`);

  /** What the client knows of an address. */
  const neighbour = (address: string) => lab.net.client.netns.exec('ip', 'neigh', 'show', address);

  /** Asks without pause, one connection after the other. @returns what was answered and is no pod's name */
  async function asking(work: () => Promise<unknown>): Promise<string[]> {
    let isDone = false;
    const answers: string[] = [];
    const ask = (async () => {
      while (!isDone)
        answers.push(...(await lab.net.client.ask({ protocol: 'tcp', address: vip, port: 80, count: 10 })));
    })();
    await work();
    isDone = true;
    await ask;
    return answers.filter((answer) => !answer.startsWith('pod-'));
  }

  test('behaviour 20: a node that may not announce any more hands over, and no connection notices', async () => {
    const old = await lab.holder(vip);
    const failed = await asking(async () => {
      await lab.apply([lab.announcement({ nodes: names.filter((name) => name !== old) })]);
      await lab.holder(vip, (node) => node !== old);
    });
    assert.deepEqual(failed, []);
    await lab.apply([lab.announcement()]);
  });

  test('behaviour 20: no node, no interface, or no announcement: nobody answers; and one does again', async () => {
    await lab.apply([lab.announcement({ nodes: [] })]);
    await nobody(vip);
    await lab.apply([lab.announcement()]);
    await lab.holder(vip);
    await lab.apply([lab.announcement({ layer2: { interfaces: ['ens*'] } })]);
    await nobody(vip);
    await lab.apply([lab.announcement({ layer2: { interfaces: ['ens*', 'eth*'] } })]);
    await lab.holder(vip);
    const [endpoints, service, address] = lab.service('web', [vip], pods);
    if (endpoints === undefined || service === undefined || address?.kind !== 'address')
      throw new Error('all are there');
    await lab.apply([{ kind: 'address', row: { ...address.row, announcementIds: [] } }]);
    await nobody(vip);
    await lab.apply([lab.announcement(), address]);
    await lab.holder(vip);
    await lab.served(vip);
  });

  test('behaviour 20: an address of no network of theirs is announced by the interface that is named, and by no other', async () => {
    const far = '198.51.100.9';
    await lab.apply(lab.service('far', [far], pods));
    await lab.holder(vip);
    assert.deepEqual(await lab.holders(far), []);
    await lab.apply([lab.announcement({ layer2: { interfaces: ['eth0'] } })]);
    await lab.holder(far);
    await lab.apply([lab.announcement()], [{ kind: 'address', id: far }]);
    await nobody(far);
  });

  for (const address of [vip, 'fd30::c8'])
    test(`a move that is meant cuts no connection of ${address}: its node goes on with it`, async () => {
      const client = new Peer(lab.net.client.netns);
      let held = 0;
      for (const pod of ['pod-1a', 'pod-2a', 'pod-3a', 'pod-1a']) {
        await lab.apply(lab.service('web', [address], [pod], { externalTrafficPolicy: 'local' }));
        const node = await lab.holder(address, (each) => each === `node-${pod[4]}`);
        const mac = await lab.macOf(node);
        // What the client sends comes to the new holder from then on.
        await eventually(async () => (await neighbour(address)).includes(mac) || held === 0 || undefined, `${mac}`);
        assert.equal(await client.poke(), held, `connections of before, while ${node} has the address`);
        const answers = await client.hold({ address, port: 80, count: 5 });
        for (const answer of answers) assert.ok(answer.startsWith(pod), answer);
        held += answers.length;
      }
      await client.end();
      await lab.apply(lab.service('web', [vip], pods), [{ kind: 'address', id: address }]);
      await lab.apply(lab.service('web', [vip], pods));
      await lab.holder(vip);
    });

  test('behaviour 21: with externalTrafficPolicy Local the holder has a ready endpoint, and the address follows them', async () => {
    const local = { externalTrafficPolicy: 'local' as const };
    await lab.apply(lab.service('web', [vip], ['pod-2a'], local));
    assert.equal(await lab.holder(vip, (node) => node === 'node-2'), 'node-2');
    await lab.served(vip);
    await lab.apply(lab.service('web', [vip], ['pod-3a'], local));
    assert.equal(await lab.holder(vip, (node) => node === 'node-3'), 'node-3');
    await lab.served(vip);
    await lab.apply(lab.service('web', [vip], [], local));
    await nobody(vip);
    await lab.apply(lab.service('web', [vip], pods));
    await lab.holder(vip);
  });

  test('behaviour 18: a holder whose controllers are away gives way to one whose are there; when all are away, nothing moves', async () => {
    const old = await lab.holder(vip);
    await lab.agent(old).setLive(false);
    const next = await lab.holder(vip, (node) => node !== old);
    const third = names.find((name) => name !== old && name !== next) ?? '';
    for (const name of [third, next]) await lab.agent(name).setLive(false);
    for (const name of names) await lab.heard(name, 2);
    assert.deepEqual(await lab.holders(vip), [next]);
    for (const name of [next, third, old]) await lab.agent(name).setLive(true);
    for (const name of names) await lab.heard(name, 2);
    assert.deepEqual(await lab.holders(vip), [next]);
  });

  test('an agent that finds on its return that another should have the address hands it over, and no connection is cut', async () => {
    const holder = await lab.holder(vip);
    const [other = ''] = names.filter((name) => name !== holder);
    const client = new Peer(lab.net.client.netns);
    const local = { externalTrafficPolicy: 'local' as const };
    await lab.apply(lab.service('web', [vip], [`pod-${holder.at(-1)}a`], local));
    await client.hold({ address: vip, port: 80, count: 5 });
    await lab.agent(holder).stop();
    // Its kernel answers, so nobody takes the address from it.
    await lab.apply(lab.service('web', [vip], [`pod-${other.at(-1)}a`], local));
    await lab.agent(holder).start();
    await lab.tell(lab.agent(holder));
    await lab.holder(vip, (node) => node === other);
    const mac = await lab.macOf(other);
    await eventually(async () => (await neighbour(vip)).includes(mac) || undefined, 'the client to know');
    assert.equal(await client.poke(), 5);
    await client.end();
    await lab.apply(lab.service('web', [vip], pods));
    await lab.holder(vip);
  });

  test('an agent that is restarted moves nothing: the kernel answers until it is back', async () => {
    const holder = await lab.holder(vip);
    const failed = await asking(async () => {
      await lab.agent(holder).stop();
      // The others miss it, and find that the address is answered for.
      for (const name of names) if (name !== holder) await lab.heard(name, 1);
      assert.deepEqual(await lab.holders(vip), [holder]);
      await lab.agent(holder).start();
      await lab.tell(lab.agent(holder));
      for (const name of names) await lab.heard(name, 2);
    });
    assert.deepEqual(failed, []);
    assert.deepEqual(await lab.holders(vip), [holder]);
    await lab.served(vip);
  });
});
