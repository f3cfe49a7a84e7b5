import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Netns, skipWithoutNetns } from '../kit/netns.ts';
import { addressPool, announcement, installOwnKinds } from '../kit/ownkinds.ts';
import { RedisServer, skipWithoutRedis } from '../kit/redis.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { ClusterRig, type RunningController, type RunningProxy, skip as skipCluster } from './clusterrig.ts';

const run = promisify(execFile);

export const skip = skipCluster || (await skipWithoutNetns()) || skipWithoutRedis();

/** Of the cable between this machine and the node: a /30 of RFC 2544. */
const cable = `slw${process.pid}`;
const network = `198.19.${(process.pid >> 6) & 255}`;
const [hostAddress = '', nodeAddress = ''] = [1, 2].map((last) => `${network}.${((process.pid & 63) << 2) + last}`);

/** Everything that there is, once: API server, controller, proxy with Redis, and an edge on a node of its own. */
export class WholeRig {
  readonly cluster: ClusterRig;
  readonly controller: RunningController;
  readonly proxy: RunningProxy;
  readonly #parts: AsyncDisposableStack;

  private constructor(
    parts: AsyncDisposableStack,
    cluster: ClusterRig,
    controller: RunningController,
    proxy: RunningProxy,
  ) {
    this.#parts = parts;
    this.cluster = cluster;
    this.controller = controller;
    this.proxy = proxy;
  }

  /** @param controllerArgs more flags for the controller */
  static async start(backends: readonly string[], controllerArgs: readonly string[] = []): Promise<WholeRig> {
    const parts = new AsyncDisposableStack();
    try {
      const node = await Netns.make('whole');
      parts.defer(() => node.remove());
      await plugIn(node);
      const redis = await RedisServer.start();
      parts.defer(() => redis.stop());
      const cluster = await ClusterRig.start({ backends, controllers: 0, proxies: 0, workers: 1 });
      parts.defer(() => cluster.stop());
      await installOwnKinds(cluster.api);
      await cluster.api.apply(
        { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } },
        addressPool('all', { addresses: ['192.0.2.0/28'] }),
        announcement('all', { l2: {} }),
      );
      // On every address: the proxy comes over loopback, and the edge over the cable.
      const controller = await cluster.startController(cluster.api.url, ['--edge', ...controllerArgs], '0.0.0.0');
      cluster.controllers.push(controller);
      await cluster.keepAuthority();
      const proxyArgs = ['--redis-url', redis.url, '--metrics-compat', 'ingress-nginx'];
      const proxy = await cluster.startProxy('proxy-1', 1, 'sluice-proxy', proxyArgs);
      cluster.proxies.push(proxy);
      const follow = ['--controller', `https://${hostAddress}:${controller.publish}`, '--node', 'node-1'];
      const proof = ['--controller-ca', cluster.file('ca.crt'), '--token-file', cluster.file('shared.token')];
      const edge = new SluiceProcess(['edge', ...follow, ...proof, '--admin-port', '0'], {}, node);
      parts.defer(() => edge.stop());
      await edge.printed(/"msg":"table stream open"/);
      return new WholeRig(parts, cluster, controller, proxy);
    } catch (error) {
      await parts.disposeAsync();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#parts.disposeAsync();
  }
}

async function plugIn(node: Netns): Promise<void> {
  await run('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'up0', 'netns', node.name]);
  await run('ip', ['addr', 'add', `${hostAddress}/30`, 'dev', cable]);
  await run('ip', ['link', 'set', cable, 'up']);
  await node.ip(`addr add ${nodeAddress}/30 dev up0`, 'link set up0 up');
}
