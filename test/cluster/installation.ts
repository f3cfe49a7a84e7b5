import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
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
  readonly #values: Values;

  /** @param values of the chart, each in place of the test's own of that name */
  constructor(values: Record<string, object> = {}) {
    this.#values = { ...installValues(), ...values };
  }

  get image(): string {
    return settings.image;
  }

  get #hasEdge(): boolean {
    return this.#values.edge.enabled;
  }

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

  /** All of it, to the first answer. */
  async start(): Promise<void> {
    await this.addNamespace();
    await this.install();
    await this.addBackend();
    await this.answers(this.hosts.web, 200);
  }

  /** A Deployment of two that answer, their Service and Ingress, and with the edge a pool. */
  async addBackend(): Promise<void> {
    await this.apply(
      ...backend(settings.image, this.hosts),
      ...(this.#hasEdge ? pool(this.namespace, settings.pool) : []),
    );
  }

  /** @returns what is said to that, warnings of the API server among it */
  async apply(...objects: object[]): Promise<string> {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    const { out, said } = await spoken('kubectl', ['--namespace', this.namespace, 'apply', '--filename', '-'], list);
    return said + out;
  }

  /** For many at once, of which nothing need be remembered. */
  async create(objects: readonly object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
    await run('kubectl', ['--namespace', this.namespace, 'create', '--filename', '-'], list);
  }

  /** Replaces all pods of a component, and waits until that is done. */
  async restart(workload: string): Promise<void> {
    await this.kubectl('rollout', 'restart', workload);
    await this.kubectl('rollout', 'status', workload, '--timeout', '9m');
  }

  /** What Helm has made for it. */
  async manifests(): Promise<string> {
    return await this.#helm('get', 'manifest', 'sluice');
  }

  /** A page of the admin port of one of the pods. */
  async page(workload: string, path: string, port = 10_254): Promise<string> {
    const ask = `fetch('http://127.0.0.1:${port}${path}').then((answer) => answer.text()).then((text) => process.stdout.write(text))`;
    return await this.kubectl('exec', workload, '--', 'node', '-e', ask);
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
        if (this.#hasEdge)
          return given && { address: given, http: portOf('http', 'port'), https: portOf('https', 'port') };
        const { items = [] } = await this.json('nodes');
        const address = items[0]?.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
        return address && { address, http: portOf('http', 'nodePort'), https: portOf('https', 'nodePort') };
      },
      'an entrance',
      300_000,
    ).then((found) => found || Promise.reject(new Error('no entrance')));
  }

  /** The node that has the address of the proxies, as its edge says; undefined while none says so. */
  async holder(): Promise<string | undefined> {
    const { items = [] } = await this.json('pods', '--selector', 'app.kubernetes.io/component=edge');
    for (const { metadata, spec } of items) {
      const metrics = await this.page(`pod/${metadata?.name}`, '/metrics', 10_252).catch(() => '');
      if (/^sluice_layer2_addresses_held [1-9]/m.test(metrics)) return spec?.nodeName;
    }
    return undefined;
  }

  /** Whether a request over HTTP/1.1 gets this status, once it does. */
  async answers(host: string, status: number): Promise<void> {
    const { address, http } = await this.entrance();
    await eventually(
      async () => ((await statusOf(address, http, host)) === status ? true : undefined),
      `${status} of ${host}`,
      120_000,
    );
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

  /** Whatever a test has left; with the hook of the chart, without which load balancers keep their finalizer. */
  async remove(): Promise<void> {
    await this.#helm('uninstall', 'sluice', '--ignore-not-found').catch(() => undefined);
    if (this.#hasEdge)
      await this.kubectl('delete', 'addresspool,announcement', this.namespace, '--ignore-not-found').catch(
        () => undefined,
      );
    // To its end: its Ingresses have the hosts of the next one.
    await this.kubectl('delete', 'namespace', this.namespace, '--timeout', '3m', '--ignore-not-found');
  }

  async #helm(...args: (string | object)[]): Promise<string> {
    const more = args.find((each) => typeof each === 'object') ?? {};
    const words = args.filter((each) => typeof each === 'string');
    const input = JSON.stringify({ ...this.#values, ...more });
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
  spec?: { nodeName?: string; ports?: { name: string; port: number; nodePort?: number }[] };
  status?: {
    podIP?: string;
    hostIP?: string;
    loadBalancer?: { ingress?: { ip?: string }[] };
    addresses?: { type: string; address: string }[];
    conditions?: { type: string; lastTransitionTime: string }[];
    containerStatuses?: { state?: { running?: { startedAt: string } } }[];
  };
}

interface Values {
  readonly edge: { readonly enabled: boolean };
  readonly [name: string]: object;
}

function installValues(): Values {
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

async function run(program: string, args: readonly string[], input: string): Promise<string> {
  return (await spoken(program, args, input)).out;
}

/** @throws What the program says, when it fails. */
function spoken(program: string, args: readonly string[], input: string): Promise<{ out: string; said: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'pipe' });
    const said: string[] = [];
    const out: string[] = [];
    child.stdout.on('data', (bytes: Buffer) => out.push(bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => said.push(bytes.toString()));
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve({ out: out.join(''), said: said.join('') });
      else
        reject(new Error(`${program} ${args.join(' ')}: ${said.join('').slice(-2_000)}${out.join('').slice(-2_000)}`));
    });
    child.stdin.end(input);
  });
}

/** 0: there is no answer. */
function statusOf(address: string, port: number, host: string): Promise<number> {
  return new Promise((resolve) => {
    const options = { host: address, port, headers: { host }, timeout: 2_000, agent: false };
    const asked = request(options, (answer) => resolve(answer.resume().statusCode ?? 0));
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(0));
    asked.end();
  });
}
