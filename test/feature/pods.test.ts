import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Load } from '../kit/load.ts';
import { waitUntil } from '../kit/wait.ts';
import { address, ClusterRig, ingress, service, skip, slice } from './clusterrig.ts';

const host = 'pods.test';

describe('pods end under load', { skip, timeout: 240_000 }, () => {
  let rig: ClusterRig;
  let load: Load | null = null;
  const pods: Pod[] = [];

  before(async () => {
    rig = await ClusterRig.start({ backends: [], controllers: 1, proxies: 0, workers: 2 });
    await rig.api.apply(service('pods'), ingress('pods', host, 'pods'));
    for (let i = 0; i < 2; i++) await addPod();
    rig.proxies.push(await rig.startProxy('proxy-1', 2, 'shared'));
    await rig.allAnswer(host, 200);
    load = Load.start({ port: rig.proxies[0]?.http ?? 0, host, connections: 10, requestsPerSecond: 300 });
  });

  after(async () => {
    await load?.stop();
    for (const pod of pods) await pod.end();
    await rig?.stop();
  });

  let count = 0;
  async function addPod(): Promise<Pod> {
    const pod = await Pod.start(`pod-${count++}`);
    pods.push(pod);
    await rig.api.apply(slice('pods', pod.port, pod.name));
    return pod;
  }

  async function isAsked({ name }: Pod): Promise<void> {
    await waitUntil(() => (load?.report.bodies.get(name) ?? 0) > 0, `${name} to be asked`);
  }

  test('a rollout: each pod leaves the slices and finishes what it has, while the next one serves', async () => {
    for (let i = 0; i < 20; i++) {
      await isAsked(await addPod());
      const old = pods.shift() as Pod;
      await rig.api.delete(slice('pods', old.port, old.name));
      await old.end();
    }
    assert.deepEqual(load?.report.failures, []);
  });

  test('a pod that ends before the slices say so costs no request', async () => {
    for (let i = 0; i < 10; i++) {
      await isAsked(await addPod());
      const old = pods.shift() as Pod;
      await old.end();
      await rig.api.delete(slice('pods', old.port, old.name));
    }
    assert.deepEqual((await load?.stop())?.failures, []);
  });
});

/** A backend as pods are: it closes its idle connections when it ends, and answers what it has begun. */
class Pod {
  readonly name: string;
  readonly port: number;
  readonly #server: Server;

  private constructor(name: string, server: Server) {
    this.name = name;
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  static async start(name: string): Promise<Pod> {
    const server = createServer((_, response) => response.end(name));
    server.listen(0, address);
    await once(server, 'listening');
    return new Pod(name, server);
  }

  async end(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    // Connections that were busy a moment ago are idle soon.
    const sweep = setInterval(() => this.#server.closeIdleConnections(), 5);
    await closed;
    clearInterval(sweep);
  }
}
