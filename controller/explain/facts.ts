import { z } from 'zod';
import { reasonOf } from '#kit/reason.ts';
import { ownGroup, ownKinds, ownVersion } from '../addresses/kinds.ts';
import type { Cluster } from '../watch/api.ts';
import { findPods, type Pod, podsOf, readPage } from './pods.ts';

/** In the place of what has the form of another release: it counts, and hides nothing else. */
const strange = 'OfAnotherRelease';
const Code = z.string().catch(strange);

/** One who follows controllers, as their pages show it. */
const Reader = z
  .object({
    name: z.string().catch(strange),
    appliedGeneration: z.number().nullable().catch(null),
    refused: z
      .array(z.object({ code: Code, message: z.string().catch('') }).catch({ code: strange, message: '' }))
      .catch([]),
  })
  .catch({ name: strange, appliedGeneration: null, refused: [] });
export type Reader = z.infer<typeof Reader>;

const Problem = z
  .object({ code: Code, severity: z.string().catch('problem') })
  .catch({ code: strange, severity: 'problem' });
const Count = z.object({ assigned: z.number(), available: z.number() }).optional().catch(undefined);
const Addresses = z.object({
  pools: z.record(z.string(), z.object({ ipv4: Count, ipv6: Count }).catch({})).default({}),
});

/** What an installation says of itself; null where it could not be read. */
export interface Facts {
  /** Version of the API server. */
  readonly version: string | null;
  /** Why it is null. */
  readonly failure: string;
  /** Those of our own kinds that are served. */
  readonly kinds: readonly string[];
  /** IngressClasses of our controller. */
  readonly classes: readonly string[];
  readonly pods: readonly Pod[];
  /** Who holds the Lease. */
  readonly leader: string | null;
  /** As one controller sees the rest. */
  readonly fleet: {
    readonly tableGeneration: number;
    readonly planGeneration: number | null;
    readonly proxies: readonly Reader[];
    readonly edges: readonly Reader[];
    readonly problems: readonly z.infer<typeof Problem>[];
    readonly pools: z.infer<typeof Addresses>['pools'];
    readonly certificates: readonly { readonly secret: string; readonly notAfterMs: number }[];
  } | null;
}

export interface FactsOptions {
  /** Of the pods; null: wherever they are. */
  readonly namespace: string | null;
  readonly selector: string;
  readonly leaderElectionId: string;
  readonly controllerClass: string;
}

/** Never throws: what cannot be read is null, or not there. */
export async function gatherFacts(cluster: Cluster, options: FactsOptions): Promise<Facts> {
  const nothing = { kinds: [], classes: [], pods: [], leader: null, fleet: null };
  try {
    const { gitVersion } = z.object({ gitVersion: z.string() }).parse(await read(cluster, '/version'));
    const [kinds, classes, pods] = await Promise.all([
      kindsOf(cluster),
      classesOf(cluster, options.controllerClass),
      findPods(cluster, options.namespace, options.selector),
    ]);
    const controllers = podsOf(pods, 'controller');
    const [leader, fleet] = await Promise.all([
      leaderOf(cluster, controllers[0]?.namespace ?? options.namespace ?? cluster.namespace, options.leaderElectionId),
      fleetOf(cluster, controllers),
    ]);
    return { version: gitVersion, failure: '', kinds, classes, pods, leader, fleet };
  } catch (error) {
    return { version: null, failure: reasonOf(error), ...nothing };
  }
}

async function read(cluster: Cluster, path: string): Promise<unknown> {
  const { status, body } = await cluster.call({ path, timeoutMs: 10_000 });
  if (status !== 200) throw new Error(`${path} was answered ${status}`);
  return body;
}

async function kindsOf(cluster: Cluster): Promise<string[]> {
  const Served = z.object({ resources: z.array(z.object({ kind: z.string() })) });
  const { resources } = await read(cluster, `/apis/${ownGroup}/${ownVersion}`).then(Served.parse, () => ({
    resources: [],
  }));
  return Object.keys(ownKinds).filter((kind) => resources.some((resource) => resource.kind === kind));
}

async function classesOf(cluster: Cluster, controller: string): Promise<string[]> {
  const Classes = z.object({
    items: z.array(
      z.object({ metadata: z.object({ name: z.string() }), spec: z.object({ controller: z.string().default('') }) }),
    ),
  });
  const { items } = Classes.parse(await read(cluster, '/apis/networking.k8s.io/v1/ingressclasses'));
  return items.filter(({ spec }) => spec.controller === controller).map(({ metadata }) => metadata.name);
}

async function leaderOf(cluster: Cluster, namespace: string, name: string): Promise<string | null> {
  const Lease = z.object({ spec: z.object({ holderIdentity: z.string().default('') }) });
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${name}`;
  const holder = await read(cluster, path).then(
    (body) => Lease.parse(body).spec.holderIdentity,
    () => '',
  );
  return holder === '' ? null : holder;
}

/** What the first controller that answers knows. */
async function fleetOf(cluster: Cluster, controllers: readonly Pod[]): Promise<Facts['fleet']> {
  for (const pod of controllers) {
    const page = (path: string) => readPage(cluster, pod, path);
    try {
      const metrics = await page('/metrics');
      const [proxies, edges, problems, addresses] = await Promise.all(
        ['/proxies', '/edges', '/problems', '/addresses'].map(async (path) => JSON.parse(await page(path)) as unknown),
      );
      const followers = z.array(Reader).parse(proxies);
      return {
        tableGeneration: metricOf(metrics, 'sluice_controller_table_generation') ?? 0,
        planGeneration: metricOf(metrics, 'sluice_controller_plan_generation'),
        proxies: followers,
        edges: z.array(Reader).parse(edges),
        problems: z.array(Problem).parse(problems),
        pools: Addresses.parse(addresses).pools,
        certificates: await certificatesOf(followers, page),
      };
    } catch {
      // The next one may answer.
    }
  }
  return null;
}

/** Any proxy knows all certificates. */
async function certificatesOf(proxies: readonly Reader[], page: (path: string) => Promise<string>) {
  for (const { name } of proxies) {
    const text = await page(`/proxies/${encodeURIComponent(name)}/metrics`).catch(() => null);
    if (text === null) continue;
    const lines = text.matchAll(/^sluice_certificate_not_after_seconds\{namespace="([^"]*)",name="([^"]*)"\} (\S+)$/gm);
    return Array.from(lines, ([, namespace, name, value]) => ({
      secret: `${namespace}/${name}`,
      notAfterMs: Number(value) * 1_000,
    }));
  }
  return [];
}

/** Of a metric without labels. */
function metricOf(metrics: string, name: string): number | null {
  const line = metrics.split('\n').find((each) => each.startsWith(`${name} `));
  return line === undefined ? null : Number(line.slice(name.length + 1));
}
