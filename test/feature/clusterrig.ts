import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { request } from 'undici';
import { z } from 'zod';
import { type ApiServer, type Manifest, startApiServer, type TestUser } from '../kit/apiserver.ts';
import { skipWithoutApiServer } from '../kit/assets.ts';
import type { CertificatePair } from '../kit/certificate.ts';
import { answer, Recorder } from '../kit/recorder.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

/** An API server takes no loopback addresses as endpoints, so backends listen on an address of this machine. */
export const address =
  Object.values(networkInterfaces())
    .flat()
    .find((found) => found?.family === 'IPv4' && !found.internal)?.address ?? '';

/** Why tests with a ClusterRig cannot run here; false: they can. With CI set, that they cannot is a failure. */
export const skip: string | false = address === '' ? withoutAddress() : await skipWithoutApiServer();

function withoutAddress(): string {
  const reason = 'this machine has no address but loopback, and an API server takes no others for endpoints';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

export const sharedToken = 'a secret that the proxies of the test share';

export interface RunningController {
  process: SluiceProcess;
  publish: number;
  admin: number;
}

export interface RunningProxy {
  process: SluiceProcess;
  http: number;
  https: number;
  admin: number;
}

const Tables = z.object({
  endpoints: z.record(z.string(), z.object({ endpoints: z.array(z.object({ port: z.number() })) })),
});
const Readers = z.array(z.object({ appliedGeneration: z.number().nullable() }));

/** A real API server, with real controllers, proxies and backends around it. */
export class ClusterRig {
  readonly api: ApiServer;
  readonly controllers: RunningController[] = [];
  readonly proxies: RunningProxy[] = [];
  /** Of the processes that are started from now on. */
  environment: Readonly<Record<string, string>> = {};
  readonly #folder: string;
  readonly #backends: Recorder[] = [];
  /** All that were ever started. */
  readonly processes: SluiceProcess[] = [];

  private constructor(api: ApiServer, folder: string) {
    this.api = api;
    this.#folder = folder;
  }

  /**
   * Backends answer with their names. Proxies prove themselves by tokens of the service account sluice-proxy; controllers
   * know a shared secret, too, for proxies started with the account `shared`.
   */
  static async start(counts: { backends: readonly string[]; controllers: number; proxies: number; workers: number }) {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-cluster-'));
    const rig = new ClusterRig(await startApiServer(), folder);
    try {
      for (const name of counts.backends) {
        rig.#backends.push(await Recorder.start({ address, onRequest: (asked) => answer(asked, name) }));
      }
      await rig.api.apply(ingressClass, serviceAccount('sluice-proxy'));
      await rig.#keepToken('sluice-proxy');
      await writeFile(rig.file('shared.token'), sharedToken);
      for (let i = 0; i < counts.controllers; i++) rig.controllers.push(await rig.startController());
      if (counts.controllers > 0) await rig.keepAuthority();
      for (let i = 0; i < counts.proxies; i++) rig.proxies.push(await rig.startProxy(`proxy-${i + 1}`, counts.workers));
      return rig;
    } catch (error) {
      await rig.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const process of this.processes) await process.stop();
    for (const backend of this.#backends) await backend.stop();
    await this.api.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Where something of this rig is kept. The state of a proxy is in a folder of its name. */
  file(base: string): string {
    return join(this.#folder, base);
  }

  portOf(backend: number): number {
    return this.#backends[backend]?.port ?? 0;
  }

  /** `url`: of a wire to the API server that a test can cut; `args`: more flags; `bind`: where it serves. */
  async startController(
    url = this.api.url,
    args: readonly string[] = [],
    bind = '127.0.0.1',
    user: TestUser = 'admin',
  ): Promise<RunningController> {
    const process = await this.startControllerProcess(url, args, { bind, user });
    const ports = await listening(process, z.object({ publish: z.number(), admin: z.number() }));
    return { process, ...ports };
  }

  /** Does not wait. */
  async startControllerProcess(
    url: string,
    args: readonly string[] = [],
    { bind = '127.0.0.1', user = 'admin', port = 0 }: { bind?: string; user?: TestUser; port?: number } = {},
  ): Promise<SluiceProcess> {
    return this.#start([
      'controller',
      ...['--kubeconfig', await this.api.kubeconfig(user, url), '--token-file', this.file('shared.token')],
      ...['--proxy-service-account', 'default/sluice-proxy'],
      ...['--publish-bind-address', bind, '--publish-port', String(port), '--publish-address', '192.0.2.80'],
      ...['--admin-port', '0', ...(args.includes('--admin-address') ? [] : ['--admin-address', '127.0.0.1'])],
      ...args,
    ]);
  }

  /** `args`: more flags. */
  async startProxy(
    name: string,
    workers = 1,
    account = 'sluice-proxy',
    args: readonly string[] = [],
  ): Promise<RunningProxy> {
    const process = this.startProxyProcess(name, account, workers, args);
    const Ports = z.object({ http: z.number(), https: z.number() });
    const { ports, admin } = await listening(process, z.object({ ports: Ports, admin: z.number() }));
    return { process, ...ports, admin };
  }

  /** Does not wait. */
  startProxyProcess(name: string, account: string, workers = 1, args: readonly string[] = []): SluiceProcess {
    return this.#start([
      'proxy',
      ...this.controllers.flatMap(({ publish }) => ['--controller', `https://localhost:${publish}`]),
      ...['--controller-ca', this.file('ca.crt'), '--token-file', this.file(`${account}.token`)],
      ...['--state-dir', this.file(name)],
      ...['--name', name, '--http-port', '0', '--https-port', '0', '--workers', String(workers)],
      ...['--admin-port', '0', ...(args.includes('--admin-address') ? [] : ['--admin-address', '127.0.0.1'])],
      ...args,
    ]);
  }

  /** A token as a proxy would have it, of an account that the controllers were not told of. */
  async makeStranger(account: string): Promise<void> {
    await this.api.apply(serviceAccount(account));
    await this.#keepToken(account);
  }

  /** Keeps the authority that the first controller made, for proxies. */
  async keepAuthority(namespace = 'default'): Promise<void> {
    const { body } = await this.api.call('GET', `/api/v1/namespaces/${namespace}/secrets/sluice-authority`);
    const data = z.record(z.string(), z.string()).parse(body['data']);
    await writeFile(this.file('ca.crt'), Buffer.from(data['ca.crt'] ?? '', 'base64'));
  }

  /** Waits until every proxy answers this. */
  async allAnswer(host: string, status: number, text?: string): Promise<void> {
    await eventually(
      async () => {
        const replies = await Promise.all(this.proxies.map(({ http }) => get(http, host)));
        const isAll = replies.every((reply) => reply.status === status && (text === undefined || reply.text === text));
        return isAll || undefined;
      },
      `all proxies to answer ${status} ${text ?? ''} for ${host}`,
    );
  }

  /**
   * Waits until every proxy has these endpoints of the first port of a Service, by their ports, in all its workers; where there is
   * one controller. An answer is that of one worker, and of slices a controller hears by another watch than of Ingresses.
   */
  async allHave(service: string, ports: readonly number[]): Promise<void> {
    const wanted = ports.toSorted().join();
    for (const { admin } of this.proxies) {
      await eventually(async () => {
        const { endpoints } = Tables.parse(JSON.parse(await page(admin, '/tables')));
        const found = endpoints[`default/${service}/80`]?.endpoints.map(({ port }) => port) ?? [];
        return found.sort().join() === wanted || undefined;
      }, `all proxies to have the endpoints ${wanted} of ${service}`);
    }
    // What a page shows may be about to come into force; what was acknowledged has.
    const [controller] = this.controllers;
    await eventually(async () => {
      const figures = await page(controller?.admin ?? 0, '/metrics');
      const last = /^sluice_controller_table_generation (\d+)$/m.exec(figures)?.[1];
      const readers = Readers.parse(JSON.parse(await page(controller?.admin ?? 0, '/proxies')));
      return readers.every(({ appliedGeneration }) => appliedGeneration === Number(last)) || undefined;
    }, 'the tables to be in force');
  }

  async #keepToken(account: string): Promise<void> {
    const spec = { audiences: ['sluice'], expirationSeconds: 3_600 };
    const path = `/api/v1/namespaces/default/serviceaccounts/${account}/token`;
    const { body } = await this.api.call('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec,
    });
    const { token } = z.object({ token: z.string() }).parse(body['status']);
    await writeFile(join(this.#folder, `${account}.token`), token);
  }

  #start(args: readonly string[]): SluiceProcess {
    const process = new SluiceProcess(args, this.environment);
    this.processes.push(process);
    return process;
  }
}

export async function page(port: number, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${port}${path}`)).text();
}

export async function get(port: number, host: string, path = '/'): Promise<{ status: number; text: string }> {
  const response = await request(`http://127.0.0.1:${port}${path}`, { headers: { host } });
  return { status: response.statusCode, text: await response.body.text() };
}

export function service(name: string): Manifest {
  const spec = { ports: [{ name: 'http', port: 80, protocol: 'TCP' }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec };
}

export function slice(service: string, port: number, name = service, isReady = true): Manifest {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, labels: { 'kubernetes.io/service-name': service } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port, protocol: 'TCP' }],
    endpoints: [{ addresses: [address], conditions: { ready: isReady } }],
  };
}

export function ingress(
  name: string,
  host: string,
  backend: string,
  annotations: Record<string, string> = {},
  tls: readonly { hosts: string[]; secretName: string }[] = [],
): Manifest {
  const path = { path: '/', pathType: 'Prefix', backend: { service: { name: backend, port: { number: 80 } } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name, annotations },
    spec: { ingressClassName: 'sluice', rules: [{ host, http: { paths: [path] } }], tls },
  };
}

export function tlsSecret(name: string, { cert, key }: CertificatePair): Manifest {
  const stringData = { 'tls.crt': cert, 'tls.key': key };
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'kubernetes.io/tls', stringData };
}

const ingressClass: Manifest = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name: 'sluice' },
  spec: { controller: 'sluice.dev/ingress-controller' },
};

function serviceAccount(name: string): Manifest {
  return { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
}

/** Values of the log line that says that a process listens. */
async function listening<T>(process: SluiceProcess, schema: z.ZodType<T>): Promise<T> {
  const [line] = await process.printed(/^\{.*"msg":"listening".*$/m);
  return schema.parse(JSON.parse(line));
}
