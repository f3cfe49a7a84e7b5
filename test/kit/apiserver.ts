import { type ChildProcess, spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { apiServerAssets } from './assets.ts';
import { freePorts } from './ports.ts';

/** What tests send: a Kubernetes object of whatever kind. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; [field: string]: unknown };
  [field: string]: unknown;
}

interface Answer {
  status: number;
  body: { metadata?: { resourceVersion?: string; uid?: string }; [field: string]: unknown };
  /** What the server, or a webhook of it, remarks upon. */
  warnings: string[];
}

/** Users of the static token file. `limited` may do nothing until a test gives it a role. */
const users = { admin: 'system:masters', limited: 'limited' } as const;
export type TestUser = keyof typeof users;

/** Far more than a loaded machine needs; reached only when it never comes up. */
const patienceMs = 120_000;

/** Starts a real etcd and kube-apiserver on loopback, with TLS, RBAC and an empty cluster. */
export async function startApiServer(): Promise<ApiServer> {
  const server = new ApiServer(
    await apiServerAssets(),
    await mkdtemp(join(tmpdir(), 'sluice-api-')),
    await freePorts(3),
  );
  try {
    await server.begin();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

export class ApiServer {
  readonly url: string;
  readonly #assets: string;
  readonly #dir: string;
  readonly #ports: readonly number[];
  #etcd: ChildProcess | null = null;
  #api: ChildProcess | null = null;
  #agent = new Agent();

  constructor(assets: string, dir: string, ports: readonly number[]) {
    this.#assets = assets;
    this.#dir = dir;
    this.#ports = ports;
    this.url = `https://127.0.0.1:${ports[2]}`;
  }

  async begin(): Promise<void> {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    await writeFile(join(this.#dir, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const tokens = Object.entries(users).map(([user, group]) => `${tokenOf(user)},${user},${user},"${group}"`);
    await writeFile(join(this.#dir, 'tokens.csv'), `${tokens.join('\n')}\n`);
    this.#startEtcd();
    await this.startApi();
  }

  /** Backs up all data, or goes back to the backup; the servers are down meanwhile. */
  async backup(): Promise<void> {
    await this.#exchangeData('etcd', 'backup');
    // API servers write as they start: what comes from now on has to be further on than a restored one gets by itself.
    for (let i = 0; i < 100; i++) await this.#askEtcd('put', { key: btoa('time'), value: btoa(`${i}`) });
  }

  async restore(): Promise<void> {
    await this.#exchangeData('backup', 'etcd');
  }

  /** Starts (again) the kube-apiserver, on the same port with the same data, and waits until it is ready. */
  async startApi(): Promise<void> {
    this.#api = this.#spawn('kube-apiserver', [
      `--etcd-servers=http://127.0.0.1:${this.#ports[0]}`,
      `--cert-dir=${join(this.#dir, 'certs')}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      `--secure-port=${this.#ports[2]}`,
      '--service-cluster-ip-range=10.0.0.0/16,fd00:10::/108',
      '--endpoint-reconciler-type=none',
      `--service-account-key-file=${join(this.#dir, 'sa.key')}`,
      `--service-account-signing-key-file=${join(this.#dir, 'sa.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--token-auth-file=${join(this.#dir, 'tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--etcd-compaction-interval=0',
      '--disable-admission-plugins=ServiceAccount',
      '--v=0',
    ]);
    const exited = new Promise<never>((_, reject) =>
      this.#api?.once('exit', (code) =>
        reject(new Error(`kube-apiserver ended with ${code}: ${this.logs('kube-apiserver')}`)),
      ),
    );
    exited.catch(() => undefined);
    await Promise.race([this.#ready(), exited]);
  }

  /** Kills the kube-apiserver without warning; its data stays. */
  async stopApi(): Promise<void> {
    await end(this.#api);
    this.#api = null;
  }

  /** Makes etcd forget all that happened before now, as it does every five minutes in a cluster. */
  async compact(): Promise<void> {
    const { body } = await this.call('GET', '/api/v1/namespaces?limit=1');
    await this.#askEtcd('compaction', { revision: body.metadata?.resourceVersion, physical: true });
  }

  /** Stops and continues the process: connections stay open and nothing answers. */
  freezeApi(): void {
    this.#api?.kill('SIGSTOP');
  }

  thawApi(): void {
    this.#api?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.#agent.destroy();
    await end(this.#api);
    await end(this.#etcd);
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Path of a kubeconfig for one of the users. `url`: of a relay in between, say. */
  async kubeconfig(user: TestUser = 'admin', url = this.url): Promise<string> {
    const ca = await readFile(this.#certificate());
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority-data': ca.toString('base64') } }],
      users: [{ name: user, user: { token: tokenOf(user) } }],
      contexts: [{ name: user, context: { cluster: 'test', user } }],
      'current-context': user,
    };
    const path = join(this.#dir, `kubeconfig-${user}-${new URL(url).port}.json`);
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** One call as the admin. Only a lost connection throws. */
  async call(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, body?: unknown): Promise<Answer> {
    const answer = await request(`${this.url}${path}`, {
      method,
      dispatcher: this.#agent,
      headers: {
        authorization: `Bearer ${tokenOf('admin')}`,
        'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.body.text();
    // RFC 9111 §5.5, each in a field of its own: `299 - "text"`.
    const warnings = [answer.headers['warning'] ?? []].flat().map((value) => value.replace(/^299 \S+ "|"$/g, ''));
    return { status: answer.statusCode, body: text.startsWith('{') ? JSON.parse(text) : { text }, warnings };
  }

  /** Creates the objects, or changes them to this (server-side apply). Throws what the server says against it. */
  async apply(...objects: Manifest[]): Promise<Answer['body'][]> {
    const answers: Answer['body'][] = [];
    for (const object of objects) {
      const answer = await request(`${this.url}${pathOf(object)}?fieldManager=test&force=true`, {
        method: 'PATCH',
        dispatcher: this.#agent,
        headers: { authorization: `Bearer ${tokenOf('admin')}`, 'content-type': 'application/apply-patch+yaml' },
        body: JSON.stringify(object),
      });
      const body = (await answer.body.json()) as Answer['body'];
      if (answer.statusCode >= 300) throw new Error(`${object.kind} ${object.metadata.name}: ${JSON.stringify(body)}`);
      answers.push(body);
    }
    return answers;
  }

  /** What the server would say to the object, unknown fields included; nothing comes of it. */
  async dryRun(object: Manifest): Promise<Answer> {
    const collection = pathOf(object).slice(0, -object.metadata.name.length - 1);
    return await this.call('POST', `${collection}?dryRun=All&fieldValidation=Strict`, object);
  }

  async delete(...objects: Manifest[]): Promise<void> {
    for (const object of objects) {
      const { status, body } = await this.call('DELETE', pathOf(object));
      if (status >= 300) throw new Error(`${object.kind} ${object.metadata.name}: ${JSON.stringify(body)}`);
    }
  }

  /** What a program has printed lately. */
  logs(program: string): string {
    return (this.#said.get(program) ?? []).join('').slice(-3000);
  }

  readonly #said = new Map<string, string[]>();

  async #exchangeData(from: string, to: string): Promise<void> {
    await this.stopApi();
    await end(this.#etcd);
    await rm(join(this.#dir, to), { recursive: true, force: true });
    await cp(join(this.#dir, from), join(this.#dir, to), { recursive: true });
    this.#startEtcd();
    await this.startApi();
  }

  async #askEtcd(what: 'compaction' | 'put', body: object): Promise<void> {
    const url = `http://127.0.0.1:${this.#ports[0]}/v3/kv/${what}`;
    const answer = await request(url, { method: 'POST', body: JSON.stringify(body) });
    if (answer.statusCode !== 200) throw new Error(`${what}: ${answer.statusCode} ${await answer.body.text()}`);
    await answer.body.dump();
  }

  #startEtcd(): void {
    const [client, peer] = this.#ports.map((port) => `http://127.0.0.1:${port}`);
    this.#etcd = this.#spawn('etcd', [
      `--data-dir=${join(this.#dir, 'etcd')}`,
      `--listen-client-urls=${client}`,
      `--advertise-client-urls=${client}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=default=${peer}`,
      '--unsafe-no-fsync',
      '--log-level=error',
    ]);
  }

  #certificate(): string {
    return join(this.#dir, 'certs', 'apiserver.crt');
  }

  #spawn(program: string, args: string[]): ChildProcess {
    const child = spawn(join(this.#assets, program), args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const said: string[] = [];
    this.#said.set(program, said);
    child.stderr?.on('data', (chunk: Buffer) => {
      said.push(chunk.toString());
      if (said.length > 200) said.shift();
    });
    const kill = () => child.kill('SIGKILL');
    // A signal ends a process without `exit`, unless somebody listens.
    const leave = () => process.exit(1);
    process.once('exit', kill);
    process.once('SIGTERM', leave);
    child.once('exit', () => process.off('exit', kill).off('SIGTERM', leave));
    return child;
  }

  async #ready(): Promise<void> {
    const deadlineMs = performance.now() + patienceMs;
    for (;;) {
      const ca = await readFile(this.#certificate()).catch(() => null);
      if (ca) {
        const old = this.#agent;
        this.#agent = new Agent({ connect: { ca: [ca] } });
        await old.destroy();
        const answer = await this.call('GET', '/readyz').catch(() => null);
        if (answer?.status === 200) return;
      }
      if (performance.now() > deadlineMs) throw new Error(`not ready: ${this.logs('kube-apiserver')}`);
      await sleep(100);
    }
  }
}

/** Where an object lives: `/apis/networking.k8s.io/v1/namespaces/default/ingresses/NAME`. */
export function pathOf({ apiVersion, kind, metadata }: Manifest): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = plurals[kind] ?? `${kind.toLowerCase()}${kind.endsWith('s') ? 'es' : 's'}`;
  const scope = clusterScoped.has(kind) ? '' : `/namespaces/${metadata.namespace ?? 'default'}`;
  return `${root}${scope}/${plural}/${metadata.name}`;
}

const clusterScoped: ReadonlySet<string> = new Set([
  ...['Namespace', 'Node', 'IngressClass', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition'],
  ...['AddressPool', 'Announcement', 'BGPPeer', 'PriorityClass', 'ValidatingWebhookConfiguration'],
]);

const plurals: Record<string, string> = { Endpoints: 'endpoints', NetworkPolicy: 'networkpolicies' };

function tokenOf(user: string): string {
  return `${user}-of-the-test`;
}

async function end(child: ChildProcess | null): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
