import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { EdgeLab, namesOf, type ServiceFields } from '../kit/edgelab.ts';
import { skipWithoutNetns } from '../kit/netns.ts';
import { Peer } from '../kit/peer.ts';
import { plainEndpoint, planRow } from '../kit/plans.ts';
import { eventually } from '../kit/wait.ts';

const skip = await skipWithoutNetns(['curl', 'nft']);
const adminPort = 10_254;

/** A client that keeps its source port has one flow, which the kernel translates as it did at first for as long as it lasts. */
describe('edge: UDP clients with a fixed port', { skip, timeout: 240_000 }, () => {
  let lab: EdgeLab;
  let host: Peer;

  before(async () => {
    if (skip) return;
    lab = await EdgeLab.start('udp', { podsPerNode: [2, 2], agent: { adminPort } });
    host = new Peer(lab.node.netns);
    await lab.apply(lab.nodeRows());
  });

  after(async () => {
    await host?.end();
    await lab?.close();
  });

  const addresses = { clusterIps: ['10.96.3.1', 'fd96:3::1'], nodePort: 30_053 };
  const set = (pods: string[], fields: ServiceFields = {}) =>
    lab.apply(lab.service('dns', pods, { protocol: 'udp', port: 53, ...addresses, ...fields }));
  const flow = (
    sourcePort: number,
    address: string,
    port: number,
    count: number,
    { peer = lab.client, timeoutMs = 30_000 }: { peer?: Peer; timeoutMs?: number } = {},
  ) => peer.ask({ protocol: 'udp', address, port, count, sourcePort, timeoutMs });
  /** For silence, and for what may be lost. */
  const briefMs = 400;
  /** Who answers a flow that has to be moved, whose first datagram may be lost for it. */
  const moved = async (sourcePort: number, address: string, port: number, peer: Peer = lab.client) => {
    await flow(sourcePort, address, port, 1, { peer, timeoutMs: briefMs });
    return namesOf(await flow(sourcePort, address, port, 3, { peer }));
  };

  test('behaviour 39: it follows a pod that is replaced, on the same node and on another, and back', async () => {
    const ways: { peer: Peer; address: string; port: number }[] = [
      { peer: lab.client, address: '10.96.3.1', port: 53 },
      { peer: lab.client, address: 'fd96:3::1', port: 53 },
      { peer: lab.client, address: lab.node.address, port: 30_053 },
      { peer: lab.client, address: lab.node.address6, port: 30_053 },
      { peer: host, address: '10.96.3.1', port: 53 },
      { peer: lab.pod('pod-1b').peer, address: 'fd96:3::1', port: 53 },
    ];
    for (const pod of ['pod-1a', 'pod-1b', 'pod-2a', 'pod-1a', 'pod-2b', 'pod-1a']) {
      await set([pod]);
      for (const [i, { peer, address, port }] of ways.entries()) {
        assert.deepEqual(await moved(5_300 + i, address, port, peer), [pod], `${address} ${port}`);
      }
    }
  });

  test('behaviour 39: also when the table has to be written as a whole for it', async () => {
    await set(['pod-1a']);
    assert.deepEqual(namesOf(await flow(5_350, '10.96.3.1', 53, 2)).slice(-1), ['pod-1a']);
    await lab.node.netns.exec('nft', 'flush', 'map', 'inet', 'sluice', 'endpoint4');
    await set(['pod-2a']);
    assert.deepEqual(await moved(5_350, '10.96.3.1', 53), ['pod-2a']);
  });

  test('flows to endpoints that stay are left alone, also to one that ends and still serves', async () => {
    await set(['pod-1a', 'pod-2a']);
    const before = new Map<number, string>();
    for (let port = 5_400; port < 5_412; port++) {
      const [answer = ''] = namesOf(await flow(port, '10.96.3.1', 53, 2));
      before.set(port, answer);
    }
    assert.deepEqual([...new Set(before.values())].sort(), ['pod-1a', 'pod-2a']);
    const rows = lab.service('dns', ['pod-1a', 'pod-1b', 'pod-2b'], { protocol: 'udp', port: 53, ...addresses });
    const [row] = rows;
    if (row?.kind === 'endpoints') {
      for (const endpoint of row.row.endpoints.slice(0, 2))
        Object.assign(endpoint, { ready: false, terminating: true });
    }
    await lab.apply(rows);
    for (const [port, name] of before) {
      if (name === 'pod-1a')
        assert.deepEqual(namesOf(await flow(port, '10.96.3.1', 53, 3)), ['pod-1a'], 'not one datagram is lost');
      else assert.doesNotMatch((await moved(port, '10.96.3.1', 53)).join(), /pod-2a|TIMEOUT/);
    }
  });

  test('a flow that was there before the Service, or before its first endpoint, finds it', async () => {
    await lab.apply([], [{ kind: 'service', id: 'test/dns' }]);
    assert.deepEqual(namesOf(await flow(5_500, '10.96.3.1', 53, 2, { timeoutMs: briefMs })), ['TIMEOUT']);
    await set([]);
    assert.doesNotMatch((await flow(5_500, '10.96.3.1', 53, 2, { timeoutMs: briefMs })).join(), /pod/);
    await set(['pod-2a']);
    assert.deepEqual(await moved(5_500, '10.96.3.1', 53), ['pod-2a']);
  });

  test('behaviour 39: TCP and UDP on one port know nothing of each other', async () => {
    await set(['pod-1a']);
    await lab.apply(lab.service('dnstcp', ['pod-2b'], { port: 53, clusterIps: addresses.clusterIps }));
    assert.deepEqual(namesOf(await flow(5_600, '10.96.3.1', 53, 3)).slice(-1), ['pod-1a']);
    assert.deepEqual(namesOf(await lab.client.ask({ protocol: 'tcp', address: '10.96.3.1', port: 53, count: 3 })), [
      'pod-2b',
    ]);
    await lab.apply([], [{ kind: 'service', id: 'test/dns' }]);
    assert.deepEqual(namesOf(await lab.client.ask({ protocol: 'tcp', address: '10.96.3.1', port: 53, count: 3 })), [
      'pod-2b',
    ]);
  });

  test('more endpoints than the kernel remembers come and go', async () => {
    const many = Array.from({ length: 70 }, (_, i) => {
      const endpoints = Array.from({ length: 1_000 }, (_, k) => {
        return { ...plainEndpoint, address: `10.${i}.${k >> 8}.${k & 255}`, port: 53 };
      });
      const endpointsId = `test/many-${i}/udp/53`;
      return [
        planRow('endpoints', { id: endpointsId, endpoints }),
        planRow('service', {
          id: `test/many-${i}`,
          clusterIps: [`10.97.1.${i}`],
          ports: [{ name: '', protocol: 'udp', port: 53, nodePort: null, endpointsId }],
        }),
      ];
    }).flat();
    assert.equal((await lab.apply(many)).type, 'applied');
    const ids = many.map(({ kind, row }) => ({ kind, id: row.id }));
    assert.equal((await lab.apply([], ids)).type, 'applied');
    await set(['pod-1a']);
    assert.deepEqual(namesOf(await flow(5_700, '10.96.3.1', 53, 1)), ['pod-1a']);
  });

  test('where no more flows can be moved, those that have to go on as they did, and this is told', async () => {
    const { netns } = lab.node;
    await set(['pod-1a']);
    assert.deepEqual(namesOf(await flow(5_720, '10.96.3.1', 53, 2)).slice(-1), ['pod-1a']);
    const others = Array.from({ length: 65_536 }, (_, i) => `10.9.${i >> 8}.${i & 255} . 1 . 10.9.9.9 . 53 : 40001`);
    const script = join(lab.runDir, 'others.nft');
    await netns.exec('nft', 'flush', 'map', 'inet', 'sluice', 'moved4');
    writeFileSync(script, `add element inet sluice moved4 { ${others.join(',\n')} }\n`);
    await netns.exec('nft', '-f', script);
    await set(['pod-2a']);
    assert.deepEqual(namesOf(await flow(5_720, '10.96.3.1', 53, 3)), ['pod-1a'], 'which is there still');
    const told = () => netns.exec('curl', '-s', `http://127.0.0.1:${adminPort}/metrics`);
    await eventually(
      async () => (/^sluice_udp_unmoved_packets_total 3$/m.test(await told()) ? true : undefined),
      'the packets to be counted',
      60_000,
    );
    await netns.exec('nft', 'flush', 'map', 'inet', 'sluice', 'moved4');
    assert.deepEqual(await moved(5_720, '10.96.3.1', 53), ['pod-2a']);
  });

  test('an endpoint that went before the agent started is remembered', async () => {
    await set(['pod-1b']);
    assert.deepEqual(namesOf(await flow(5_710, '10.96.3.1', 53, 1)), ['pod-1b']);
    await set(['pod-2a']);
    await lab.restartAgent();
    await lab.resend();
    assert.deepEqual(await moved(5_710, '10.96.3.1', 53), ['pod-2a']);
  });
});
