import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { AnnouncedBy } from '#table/announced.ts';
import type { Ack, ChangeBatch } from '#table/change.ts';
import { type EdgePlan, emptyPlan, type PlanRows, planContract } from '#table/plan.ts';
import { connectStream, type TableStreamClient } from '../../proxy/receive/stream.ts';
import { type ApiServer, type Manifest, pathOf, startApiServer } from '../kit/apiserver.ts';
import { addressPool, announcement, installOwnKinds } from '../kit/ownkinds.ts';
import { quiet } from '../kit/quiet.ts';
import { SluiceProcess } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';

interface RunningController {
  process: SluiceProcess;
  publish: number;
  admin: number;
}

/** What tests read of a Service. */
const ServiceFacts = z.object({
  metadata: z.object({
    uid: z.string(),
    resourceVersion: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
    finalizers: z.array(z.string()).default([]),
    deletionTimestamp: z.string().optional(),
  }),
  status: z.object({
    loadBalancer: z.object({
      ingress: z.array(z.object({ ip: z.string(), ipMode: z.string().optional() })).default([]),
    }),
  }),
});
export type ServiceFacts = z.infer<typeof ServiceFacts>;

const EventFacts = z.object({
  reportingController: z.string().optional(),
  reason: z.string(),
  note: z.string(),
  type: z.string(),
  regarding: z.object({ kind: z.string(), name: z.string(), uid: z.string().optional() }),
});

/** A real API server with our kinds, real controllers, and edges as far as the plan stream goes. */
export class AddressRig {
  readonly api: ApiServer;
  readonly controllers: RunningController[] = [];
  readonly #folder: string;
  readonly #processes: SluiceProcess[] = [];
  readonly #edges: TestEdge[] = [];

  private constructor(api: ApiServer, folder: string) {
    this.api = api;
    this.#folder = folder;
  }

  /** One node, and everything announced from it. */
  static async start(): Promise<AddressRig> {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-addresses-'));
    const rig = new AddressRig(await startApiServer(), folder);
    try {
      await installOwnKinds(rig.api);
      await rig.api.apply(node('n1'), announcement('all', { l2: {} }));
      await writeFile(rig.file('token'), 'a secret of this test');
      return rig;
    } catch (error) {
      await rig.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const edge of this.#edges) await edge.stop();
    for (const process of this.#processes) await process.stop();
    await this.api.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  file(base: string): string {
    return join(this.#folder, base);
  }

  /**
   * @param authentication flags that say who may follow it
   * @param address where it serves plans
   */
  async startController(
    authentication = ['--token-file', this.file('token')],
    address = '127.0.0.1',
  ): Promise<RunningController> {
    const process = new SluiceProcess([
      ...['controller', '--kubeconfig', await this.api.kubeconfig(), '--edge', ...authentication],
      ...['--publish-bind-address', address, '--publish-port', '0'],
      ...['--admin-address', '127.0.0.1', '--admin-port', '0'],
    ]);
    this.#processes.push(process);
    const [line] = await process.printed(/^\{.*"msg":"listening".*$/m);
    const ports = z.object({ publish: z.number(), admin: z.number() }).parse(JSON.parse(line));
    const controller = { process, ...ports };
    this.controllers.push(controller);
    const { body } = await this.api.call('GET', '/api/v1/namespaces/default/secrets/sluice-authority');
    const data = z.record(z.string(), z.string()).parse(body['data']);
    await writeFile(this.file('ca.crt'), Buffer.from(data['ca.crt'] ?? '', 'base64'));
    return controller;
  }

  /** Follows all controllers that there are now. */
  startEdge(node: string, tokenFile = 'token'): TestEdge {
    const urls = this.controllers.map(({ publish }) => `https://localhost:${publish}`);
    const edge = new TestEdge(node, urls, this.file('ca.crt'), this.file(tokenFile));
    this.#edges.push(edge);
    return edge;
  }

  /** Keeps a token as the kubelet makes it for a pod of this account on this node; null: one that is bound to none. */
  async makeToken(account: string, node: string | null): Promise<string> {
    const name = `${account}-on-${node ?? 'none'}`;
    await this.api.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: account } });
    if (node !== null) {
      const spec = { nodeName: node, serviceAccountName: account, containers: [{ name: 'edge', image: 'none' }] };
      await this.api.apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec });
    }
    const path = `/api/v1/namespaces/default/serviceaccounts/${account}/token`;
    const { body } = await this.api.call('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences: ['sluice'], ...(node && { boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name } }) },
    });
    await writeFile(this.file(name), z.object({ token: z.string() }).parse(body['status']).token);
    return name;
  }

  /** A namespace with a pool of its own. */
  async makeNamespace(name: string, addresses: string[], spec: object = {}): Promise<void> {
    await this.api.apply(
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
      addressPool(name, { addresses, namespaces: [name], ...spec }),
    );
  }

  async facts(object: Manifest): Promise<ServiceFacts> {
    const { body } = await this.api.call('GET', pathOf(object));
    return ServiceFacts.parse(body);
  }

  /** Waits until a Service is promised exactly these. */
  async hasAddresses(object: Manifest, ...addresses: string[]): Promise<ServiceFacts> {
    return await eventually(
      async () => {
        const facts = await this.facts(object);
        const told = facts.status.loadBalancer.ingress.map(({ ip }) => ip);
        return told.join() === addresses.join() ? facts : undefined;
      },
      `${object.metadata.name} to have ${addresses.join() || 'no address'}`,
    );
  }

  /** Waits until a pool says that this much of it is in use. */
  async counts(pool: string, usage: object): Promise<void> {
    await eventually(
      async () => {
        const { body } = await this.api.call('GET', pathOf(addressPool(pool, {})));
        return isDeepStrictEqual(body['status'], usage) || undefined;
      },
      `AddressPool ${pool} to say ${JSON.stringify(usage)}`,
    );
  }

  /** Ours: the API server tells of Services, too ("Cluster IP is not allocated; repairing" is its answer to its own race). */
  async events(object: Manifest): Promise<{ reason: string; note: string; type: string }[]> {
    const { body } = await this.api.call(
      'GET',
      `/apis/events.k8s.io/v1/namespaces/${object.metadata.namespace ?? 'default'}/events`,
    );
    const events = z.array(EventFacts).parse(body['items']);
    return events.filter(
      ({ reportingController, regarding }) =>
        reportingController === 'sluice.dev/ingress-controller' &&
        regarding.kind === object.kind &&
        regarding.name === object.metadata.name,
    );
  }

  async hasEvent(object: Manifest, reason: string, note: RegExp): Promise<void> {
    await eventually(async () => {
      const events = await this.events(object);
      return events.some((event) => event.reason === reason && note.test(event.note)) || undefined;
    }, `an Event ${reason} ${note} on ${object.metadata.name}`);
  }

  async page(controller: RunningController, path: string): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${controller.admin}${path}`)).text();
  }
}

/** An edge as far as the stream goes: it takes what it is sent, at once or when it is let. */
export class TestEdge {
  readonly plan: EdgePlan = emptyPlan();
  /** What it says that its node announces. */
  announces: readonly AnnouncedBy[] = [];
  readonly #client: TableStreamClient;
  #hash: string | null = null;
  #gate: PromiseWithResolvers<void> | null = null;

  constructor(node: string, urls: readonly string[], caFile: string, tokenFile: string) {
    this.#client = connectStream({
      ...{ contract: planContract, urls, caFile, tokenFile, name: node, zone: null, node, admin: null, log: quiet },
      current: () => (this.#hash === null ? null : { hash: this.#hash }),
      onBatch: async (batch) => await this.#take(batch),
      announced: () => this.announces,
    });
  }

  /** From now on it answers nothing. */
  hold(): void {
    this.#gate = Promise.withResolvers();
  }

  release(): void {
    this.#gate?.resolve();
    this.#gate = null;
  }

  state(): ReturnType<TableStreamClient['state']> {
    return this.#client.state();
  }

  async stop(): Promise<void> {
    this.release();
    await this.#client.stop();
  }

  async #take(batch: ChangeBatch<PlanRows>): Promise<Ack> {
    await this.#gate?.promise;
    if (batch.isSnapshot) for (const rows of Object.values(this.plan)) rows.clear();
    for (const { kind, id } of batch.deletes) this.plan[kind].delete(id);
    for (const { kind, row } of batch.upserts) (this.plan[kind] as Map<string, unknown>).set(row.id, row);
    this.#hash = batch.commit.hash;
    return { type: 'applied', hash: batch.commit.hash, generation: batch.commit.generation };
  }
}

export function node(name: string, labels: Record<string, string> = {}): Manifest {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } };
}

/** A Service of our class, with port 80; `spec` and `metadata` go over it. */
export function loadBalancer(namespace: string, name: string, spec: object = {}, metadata: object = {}): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace, ...metadata },
    spec: {
      type: 'LoadBalancer',
      loadBalancerClass: 'sluice.dev/edge',
      ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
      ...spec,
    },
  };
}
