import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chart } from '../kit/helm.ts';
import { eventually } from '../kit/wait.ts';
import { backend, pool } from './objects.ts';
import type { Entrance } from './traffic.ts';

/**
 * Which cluster, and with which images: KUBECONFIG, SLUICE_IMAGE and SLUICE_EDGE_IMAGE (`repository:tag`). SLUICE_POOL, a range
 * of addresses that this machine reaches, adds the edge; SLUICE_VALUES, JSON, whatever the cluster needs besides.
 */
const settings = {
  image: process.env['SLUICE_IMAGE'] ?? 'sluice:dev',
  edgeImage: process.env['SLUICE_EDGE_IMAGE'] ?? 'sluice-edge:dev',
  pool: process.env['SLUICE_POOL'] ?? '',
  values: process.env['SLUICE_VALUES'] ?? '{}',
};

export const hasPool = settings.pool !== '';

/** For the `skip` of a test: these tests change a cluster, so it has to be named. */
export const skipWithoutCluster =
  process.env['KUBECONFIG'] === undefined ? 'needs a cluster: name one by KUBECONFIG (npm run cluster)' : false;

/** One installation of the chart in a namespace of its own, with a backend behind an Ingress. */
export class Installation {
  readonly namespace = `sluice-test-${randomBytes(3).toString('hex')}`;
  readonly hosts = { web: 'echo.test', grpc: 'calls.test' };

  async addNamespace(): Promise<void> {
    await this.kubectl('create', 'namespace', this.namespace);
  }

  async install(): Promise<void> {
    await this.#helm('install', 'sluice', chart, '--values', '-');
  }

  /** Once more, with further values. Waits until all pods are those of the new revision. */
  async upgrade(values: object): Promise<void> {
    await this.#helm(
      'upgrade',
      'sluice',
      chart,
      '--reuse-values',
      '--wait',
      '--timeout',
      '9m',
      '--values',
      '-',
      values,
    );
  }

  async rollback(): Promise<void> {
    await this.#helm('rollback', 'sluice', '--wait', '--timeout', '9m');
  }

  async test(): Promise<string> {
    return await this.#helm('test', 'sluice', '--timeout', '3m');
  }

  async uninstall(): Promise<void> {
    await this.#helm('uninstall', 'sluice', '--wait', '--timeout', '9m');
  }

  /** A Deployment of two that answer, their Service and Ingress, and with the edge a pool. */
  async addBackend(): Promise<void> {
    await this.apply(...backend(settings.image, this.hosts), ...(hasPool ? pool(this.namespace, settings.pool) : []));
  }

  async apply(...objects: object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await run('kubectl', ['--namespace', this.namespace, 'apply', '--filename', '-'], list);
  }

  /** Replaces all pods of a component, and waits until that is done. */
  async restart(workload: string): Promise<void> {
    await this.kubectl('rollout', 'restart', workload);
    await this.kubectl('rollout', 'status', workload, '--timeout', '9m');
  }

  /** Names of its pods that are there to stay, sorted. */
  async pods(): Promise<string[]> {
    const { items = [] } = await this.json('pods', '--selector', 'app.kubernetes.io/name=sluice');
    const staying = items.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
    return staying.map(({ metadata }) => metadata?.name ?? '').sort();
  }

  async kubectl(...args: string[]): Promise<string> {
    return await run('kubectl', ['--namespace', this.namespace, ...args], '');
  }

  async json(...args: string[]): Promise<Found> {
    return JSON.parse(await this.kubectl('get', ...args, '--output', 'json')) as Found;
  }

  /** Where clients outside find the proxies: the address that the edge has given, else a port of a node. */
  async entrance(): Promise<Entrance> {
    return await eventually(
      async () => {
        const { spec, status } = await this.json('service/sluice-proxy');
        const portOf = (name: string, key: 'port' | 'nodePort') =>
          spec?.ports?.find((port) => port.name === name)?.[key] ?? 0;
        const given = status?.loadBalancer?.ingress?.[0]?.ip;
        if (hasPool) return given && { address: given, http: portOf('http', 'port'), https: portOf('https', 'port') };
        const { items = [] } = await this.json('nodes');
        const address = items[0]?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
        return address && { address, http: portOf('http', 'nodePort'), https: portOf('https', 'nodePort') };
      },
      'an entrance',
      300_000,
    ).then((found) => found || Promise.reject(new Error('no entrance')));
  }

  /** What the command says on each node, as root of it: the edge's image, whether the edge is there or not. */
  async onEveryNode(...args: string[]): Promise<string> {
    const { items = [] } = await this.json('nodes');
    const said: string[] = [];
    for (const { metadata } of items) {
      const name = `look-${metadata?.name}`;
      const container = { name: 'look', image: settings.edgeImage, args, securityContext: { privileged: true } };
      const spec = { nodeName: metadata?.name, hostNetwork: true, restartPolicy: 'Never', containers: [container] };
      await this.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
      await this.kubectl('wait', `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout', '3m');
      said.push(await this.kubectl('logs', name));
    }
    return said.join('');
  }

  /** Whatever a test has left. */
  async remove(): Promise<void> {
    await this.#helm('uninstall', 'sluice', '--ignore-not-found', '--no-hooks').catch(() => undefined);
    if (hasPool)
      await this.kubectl('delete', 'addresspool,announcement', this.namespace, '--ignore-not-found').catch(
        () => undefined,
      );
    await this.kubectl('delete', 'namespace', this.namespace, '--wait=false', '--ignore-not-found');
  }

  async #helm(...args: (string | object)[]): Promise<string> {
    const more = args.find((each) => typeof each === 'object') ?? {};
    const words = args.filter((each) => typeof each === 'string');
    const input = JSON.stringify({ ...installValues(), ...more });
    return await run('helm', ['--namespace', this.namespace, ...words], words.includes('--values') ? input : '');
  }
}

interface Found {
  items?: Found[];
  metadata?: {
    name: string;
    namespace?: string;
    deletionTimestamp?: string;
    finalizers?: string[];
    annotations?: Record<string, string>;
  };
  spec?: { ports?: { name: string; port: number; nodePort?: number }[] };
  status?: {
    loadBalancer?: { ingress?: { ip?: string }[] };
    addresses?: { type: string; address: string }[];
  };
}

function installValues(): object {
  const imageOf = (name: string) => {
    const [, repository, tag] = /^(.*):([^:]+)$/.exec(name) ?? [];
    return { registry: '', repository, tag };
  };
  return {
    image: imageOf(settings.image),
    proxy: {
      workers: 1,
      service: hasPool ? {} : { type: 'NodePort', externalTrafficPolicy: 'Cluster' },
      terminationGracePeriodSeconds: 60,
    },
    crds: { keep: false },
    edge: { enabled: hasPool, image: imageOf(settings.edgeImage) },
    ...JSON.parse(settings.values),
  };
}

/** @throws What the program says, when it fails. */
function run(program: string, args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe' });
    const said: string[] = [];
    const out: string[] = [];
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => said.push(bytes.toString()));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(out.join(''));
      else
        reject(new Error(`${program} ${args.join(' ')}: ${said.join('').slice(-2_000)}${out.join('').slice(-2_000)}`));
    });
    child.stdin.end(input);
  });
}
