import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf, type ServiceFields } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';

const skip = await skipWithoutNetns();

describe('edge: who is served, by whom', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  let host: Peer;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('policies', { podsPerNode: [2, 1] });
    host = new Peer(lab.node.netns);
    await lab.apply(lab.nodeRows());
  });

  after(async () => {
    await host?.end();
    await lab?.close();
  });

  const vip = (...addresses: string[]) =>
    addresses.map((address) => ({ address, owner: 'sluice', ipMode: 'vip' }) as const);
  /** An answer is waited for, silence is not. */
  const [patientMs, briefMs] = [30_000, 700];
  const timeoutFor = (answer: string) => ({ timeoutMs: answer === 'TIMEOUT' ? briefMs : patientMs });
  const ask = (
    address: string,
    fields: { port?: number; protocol?: 'tcp' | 'udp'; count?: number; timeoutMs?: number; from?: string } = {},
  ) => lab.client.ask({ protocol: 'tcp', address, port: 80, count: 1, timeoutMs: patientMs, ...fields });

  test('behaviour 33: the client address is kept under Local and rewritten under Cluster, and can be switched', async () => {
    const clients = { '192.0.2.33': '172.30.0.100', '2001:db8::33': 'fd30::64' };
    const set = (externalTrafficPolicy: 'local' | 'cluster') =>
      lab.apply(
        lab.service('source', ['pod-1a', 'pod-2a'], { vips: vip(...Object.keys(clients)), externalTrafficPolicy }),
      );
    for (const round of [1, 2]) {
      await set('local');
      for (const [address, client] of Object.entries(clients)) {
        assert.deepEqual(new Set(await ask(address, { count: 10 })), new Set([`pod-1a ${client}`]), `round ${round}`);
      }
      await set('cluster');
      for (const [address, client] of Object.entries(clients)) {
        const answers = await ask(address, { count: 20 });
        assert.deepEqual(namesOf(answers), ['pod-1a', 'pod-2a']);
        assert.ok(
          answers.every((answer) => !answer.endsWith(` ${client}`)),
          answers.join(),
        );
      }
    }
  });

  test('under Local, the node and its pods reach every endpoint', async () => {
    await lab.apply(lab.service('short', ['pod-2a'], { vips: vip('192.0.2.35'), externalTrafficPolicy: 'local' }));
    const task = { protocol: 'tcp', address: '192.0.2.35', port: 80, count: 2 } as const;
    assert.deepEqual(namesOf(await host.ask(task)), ['pod-2a']);
    const { address, peer } = lab.pod('pod-1a');
    assert.deepEqual(new Set(await peer.ask(task)), new Set([`pod-2a ${address}`]));
    assert.deepEqual(await ask('192.0.2.35', timeoutFor('TIMEOUT')), ['TIMEOUT']);
  });

  test('internalTrafficPolicy Local: endpoints of the node or none', async () => {
    const set = (pods: string[]) =>
      lab.apply(lab.service('internal', pods, { clusterIps: ['10.96.1.1'], internalTrafficPolicy: 'local' }));
    const task = { protocol: 'tcp', address: '10.96.1.1', port: 80, count: 6, timeoutMs: patientMs } as const;
    await set(['pod-1b', 'pod-2a']);
    assert.deepEqual(namesOf(await lab.pod('pod-1a').peer.ask(task)), ['pod-1b']);
    await set(['pod-2a']);
    assert.deepEqual(await lab.pod('pod-1a').peer.ask({ ...task, count: 1, timeoutMs: briefMs }), ['TIMEOUT']);
    await set([]);
    assert.deepEqual(await lab.pod('pod-1a').peer.ask({ ...task, count: 1 }), ['ECONNREFUSED']);
  });

  test('behaviour 34: the health check port says whether this node has ready endpoints, and closes with the policy', async () => {
    const url = `http://${lab.node.address}:32034/healthz`;
    const set = (pods: string[], fields: ServiceFields = {}) => {
      return lab.apply(
        lab.service('checked', pods, {
          vips: vip('192.0.2.34'),
          externalTrafficPolicy: 'local',
          healthCheckNodePort: 32_034,
          ...fields,
        }),
      );
    };
    const expect = async (status: number, localEndpoints: number) => {
      const answer = await lab.client.http(url);
      const service = { namespace: 'test', name: 'checked' };
      assert.deepEqual(
        { status: answer.status, body: JSON.parse(answer.body) },
        { status, body: { service, localEndpoints, serviceProxyHealthy: true } },
      );
    };
    await set(['pod-1a', 'pod-1b', 'pod-2a']);
    // Each of both families.
    await expect(200, 2);
    await set(['pod-2a']);
    await expect(503, 0);
    await set(['pod-1a'], { state: { ready: false, serving: true, terminating: true } });
    await expect(503, 0);
    assert.deepEqual(namesOf(await ask('192.0.2.34')), ['pod-1a'], 'what ends is still served');
    await set(['pod-1a']);
    await expect(200, 1);
    await set(['pod-1a'], { externalTrafficPolicy: 'cluster', healthCheckNodePort: null });
    assert.deepEqual(await lab.client.http(url), { status: 0, body: 'ECONNREFUSED' });
  });

  test('behaviour 36: source ranges allow and deny, are updated and cleared, and are nobody else’s', async () => {
    const vips = vip('192.0.2.36', '2001:db8::36');
    const set = (sourceRanges: string[]) =>
      lab.apply(
        lab.service('ranged', ['pod-1a'], { vips, sourceRanges, nodePort: 30_036, clusterIps: ['10.96.1.36'] }),
      );
    await lab.apply(lab.service('beside', ['pod-1b'], { vips, port: 81 }));
    const expect = async (four: string, six: string) => {
      assert.deepEqual(namesOf(await ask('192.0.2.36', timeoutFor(four))), [four]);
      assert.deepEqual(namesOf(await ask('2001:db8::36', timeoutFor(six))), [six]);
      assert.deepEqual(namesOf(await ask('192.0.2.36', { port: 81 })), ['pod-1b'], 'another Service on the address');
      assert.deepEqual(namesOf(await ask('10.96.1.36')), ['pod-1a'], 'the cluster address');
      assert.deepEqual(namesOf(await ask(lab.node.address, { port: 30_036 })), ['pod-1a'], 'the node port');
    };
    await set(['172.30.0.0/24', '172.30.0.64/26', 'fd30::/64']);
    await expect('pod-1a', 'pod-1a');
    await set(['10.0.0.0/8', 'fd99::/64']);
    await expect('TIMEOUT', 'TIMEOUT');
    await set(['172.30.0.100/32']);
    await expect('pod-1a', 'TIMEOUT');
    await set([]);
    await expect('pod-1a', 'pod-1a');
  });

  test('behaviour 36: a node in the ranges reaches the VIP that it holds', async () => {
    await lab.node.netns.ip('addr add 192.0.2.37/32 dev eth0');
    const set = (range: string) =>
      lab.apply(lab.service('self', ['pod-1a'], { vips: vip('192.0.2.37'), sourceRanges: [range] }));
    const task = { protocol: 'tcp', address: '192.0.2.37', port: 80, count: 2, timeoutMs: patientMs } as const;
    await set('172.30.0.1/32');
    assert.deepEqual(namesOf(await host.ask(task)), ['pod-1a']);
    await set('172.30.0.9/32');
    assert.deepEqual(namesOf(await host.ask({ ...task, timeoutMs: briefMs })), ['TIMEOUT']);
  });

  test('behaviour 37: no endpoints: refused at once; none here under Local: dropped; and back again', async () => {
    const vips = vip('192.0.2.38', '2001:db8::38');
    const both = async (pods: string[], fields: ServiceFields) => {
      await lab.apply(lab.service('empty', pods, { vips, ...fields }));
      await lab.apply(lab.service('emptyudp', pods, { vips, protocol: 'udp', ...fields }));
    };
    const expect = async (answer: string) => {
      for (const address of ['192.0.2.38', '2001:db8::38']) {
        for (const protocol of ['tcp', 'udp'] as const) {
          const answers = await ask(address, { protocol, ...timeoutFor(answer) });
          assert.deepEqual(namesOf(answers), [answer], `${protocol} ${address}`);
        }
      }
    };
    await both([], {});
    await expect('ECONNREFUSED');
    const [fromHost] = await host.ask({ protocol: 'tcp', address: '192.0.2.38', port: 80, count: 1 });
    assert.equal(fromHost, 'ECONNREFUSED');
    await both(['pod-1a'], {});
    await expect('pod-1a');
    await both(['pod-2a'], { externalTrafficPolicy: 'local' });
    await expect('TIMEOUT');
    await both(['pod-1a'], { externalTrafficPolicy: 'local' });
    await expect('pod-1a');
    await both([], { externalTrafficPolicy: 'local' });
    await expect('ECONNREFUSED');
  });
});
