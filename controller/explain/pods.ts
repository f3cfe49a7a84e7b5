import { z } from 'zod';
import type { Cluster } from '../watch/api.ts';

/** A pod of an installation. */
export interface Pod {
  readonly namespace: string;
  readonly name: string;
  /** `controller`, `proxy` or `edge`. */
  readonly component: string;
  readonly node: string;
  readonly phase: string;
  readonly isReady: boolean;
  readonly adminPort: number;
  readonly containers: readonly { readonly name: string; readonly image: string; readonly restarts: number }[];
}

/**
 * Pods of all components, those that go left out.
 *
 * @param namespace null: wherever they are
 * @throws when they cannot be listed; the message is for a person
 */
export async function findPods(cluster: Cluster, namespace: string | null, selector: string): Promise<Pod[]> {
  const collection = namespace === null ? '/api/v1/pods' : `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const query = new URLSearchParams({ labelSelector: `${selector},app.kubernetes.io/component` });
  const { status, body } = await cluster.call({ path: `${collection}?${query}` });
  if (status !== 200) throw new Error(`listing pods was answered ${status}`);
  return PodList.parse(body).items.flatMap(({ metadata, spec, status }) => {
    if (metadata.deletionTimestamp !== undefined) return [];
    const admin = spec.containers.flatMap(({ ports }) => ports).find(({ name }) => name === 'admin');
    return {
      namespace: metadata.namespace,
      name: metadata.name,
      component: metadata.labels['app.kubernetes.io/component'] ?? '',
      node: spec.nodeName,
      phase: status.phase,
      isReady: status.conditions.some(({ type, status }) => type === 'Ready' && status === 'True'),
      adminPort: admin?.containerPort ?? 10_254,
      containers: spec.containers.map(({ name, image }) => ({
        name,
        image,
        restarts: status.containerStatuses.find((each) => each.name === name)?.restartCount ?? 0,
      })),
    };
  });
}

/** Those of a component that run, or will: one that was evicted stays as an object, and another one is there in its place. */
export function podsOf(pods: readonly Pod[], component: string): Pod[] {
  return pods.filter((pod) => pod.component === component && pod.phase !== 'Failed' && pod.phase !== 'Succeeded');
}

/** Text of a page of a pod's admin port. @throws when there is none; the message is for a person */
export async function readPage(cluster: Cluster, pod: Pod, page: string): Promise<string> {
  const { namespace, name, adminPort } = pod;
  return readText(cluster, `/api/v1/namespaces/${namespace}/pods/${name}:${adminPort}/proxy${page}`);
}

/** Any text of the API server. @throws when it is not answered with 200 */
export async function readText(cluster: Cluster, path: string): Promise<string> {
  const { status, body } = await cluster.stream(path, AbortSignal.timeout(pageMs), '*/*');
  const text = await body.text();
  if (status !== 200) throw new Error(`answered ${status}`);
  return text;
}

const pageMs = 10_000;

const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((value) => value ?? []);
const Ports = list(z.object({ name: z.string().optional(), containerPort: z.number() }));
const PodList = z.object({
  items: z.array(
    z.object({
      metadata: z.object({
        name: z.string(),
        namespace: z.string(),
        labels: z.record(z.string(), z.string()).default({}),
        deletionTimestamp: z.string().optional(),
      }),
      spec: z.object({
        nodeName: z.string().default(''),
        containers: z.array(z.object({ name: z.string(), image: z.string(), ports: Ports })),
      }),
      status: z.object({
        phase: z.string().default('Unknown'),
        conditions: list(z.object({ type: z.string(), status: z.string() })),
        containerStatuses: list(z.object({ name: z.string(), restartCount: z.number() })),
      }),
    }),
  ),
});
