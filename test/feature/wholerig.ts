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
  readonly edge: SluiceProcess;
  readonly #node: Netns;
  readonly #redis: RedisServer;

  private constructor(
    parts: Pick<WholeRig, 'cluster' | 'controller' | 'proxy' | 'edge'>,
    node: Netns,
    redis: RedisServer,
  ) {
    this.cluster = parts.cluster;
    this.controller = parts.controller;
    this.proxy = parts.proxy;
    this.edge = parts.edge;
    this.#node = node;
    this.#redis = redis;
  }

  /** @param controllerArgs more flags for the controller */
  static async start(backends: readonly string[], controllerArgs: readonly string[] = []): Promise<WholeRig> {
    const node = await Netns.make('whole');
    await run('ip', ['link', 'add', cable, 'type', 'veth', 'peer', 'name', 'up0', 'netns', node.name]);
    await run('ip', ['addr', 'add', `${hostAddress}/30`, 'dev', cable]);
    await run('ip', ['link', 'set', cable, 'up']);
    await node.ip(`addr add ${nodeAddress}/30 dev up0`, 'link set up0 up');
    const redis = await RedisServer.start();
    const cluster = await ClusterRig.start({ backends, controllers: 0, proxies: 0, workers: 1 });
    await installOwnKinds(cluster.api);
    await cluster.api.apply(
      { apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } },
      addressPool('all', { addresses: ['192.0.2.0/28'] }),
      announcement('all', { l2: {} }),
    );
    const args = ['--edge', ...controllerArgs];
    // On every address: the proxy comes over loopback, and the edge over the cable.
    const controller = await cluster.startController(cluster.api.url, args, '0.0.0.0');
    cluster.controllers.push(controller);
    await cluster.keepAuthority();
    const proxy = await cluster.startProxy('proxy-1', 1, 'sluice-proxy', ['--redis-url', redis.url]);
    cluster.proxies.push(proxy);
    const edge = new SluiceProcess(
      [
        ...['edge', '--controller', `https://${hostAddress}:${controller.publish}`, '--node', 'node-1'],
        ...[
          '--controller-ca',
          cluster.file('ca.crt'),
          '--token-file',
          cluster.file('shared.token'),
          '--admin-port',
          '0',
        ],
      ],
      {},
      node,
    );
    await edge.printed(/"msg":"table stream open"/);
    return new WholeRig({ cluster, controller, proxy, edge }, node, redis);
  }

  async stop(): Promise<void> {
    await this.edge.stop();
    await this.cluster.stop();
    await this.#redis.stop();
    await this.#node.remove();
  }
}
