import { pino } from 'pino';
import type { TranslateOptions } from '../translate/options.ts';
import type { Cluster } from '../watch/api.ts';
import { watchCluster } from '../watch/cluster.ts';
import { HeldView } from '../watch/held.ts';
import type { ClusterView, ObjectKey, ReadProblem, ViewUpdate } from '../watch/view.ts';

/** Objects of a cluster, as a controller sees them. */
export interface ClusterObjects {
  readonly view: HeldView;
  readonly unreadable: readonly ReadProblem[];
}

/**
 * Reads the objects of a cluster once, with the rights of whoever asks.
 *
 * @param secretsOf those to read, too, as far as objects have been seen
 * @throws when they do not come in time, with what the API server says
 */
export async function readCluster(
  cluster: Cluster,
  options: TranslateOptions,
  { secretsOf, limitMs }: { secretsOf(view: ClusterView): ReadonlySet<ObjectKey>; limitMs: number },
): Promise<ClusterObjects> {
  const { promise, resolve, reject } = Promise.withResolvers<ViewUpdate>();
  const source = watchCluster({
    cluster,
    namespaces: [],
    kinds: [],
    ownNamespace: cluster.namespace,
    configMaps: options.configMap === null ? [] : [options.configMap],
    log: pino({ level: 'silent' }),
    onUpdate: (update) => {
      if (source.useSecrets(secretsOf(update.view)).size === 0) resolve(update);
    },
  });
  const timer = setTimeout(() => {
    const failed = Object.entries(source.state()).flatMap(([kind, { failure }]) => failure && `${kind}: ${failure}`);
    reject(new Error(`the cluster cannot be read: ${failed.filter((text) => text).join('; ') || 'it takes too long'}`));
  }, limitMs);
  try {
    const { view, unreadable } = await promise;
    return { view: heldOf(view), unreadable };
  } finally {
    clearTimeout(timer);
    source.stop();
  }
}

/** A view of its own with the same objects. */
export function heldOf(view: ClusterView): HeldView {
  const copy = new HeldView();
  for (const kind of kindsRead) for (const object of view.all(kind)) copy.put(object);
  return copy;
}

const kindsRead = ['Ingress', 'IngressClass', 'Service', 'EndpointSlice', 'Secret', 'ConfigMap', 'Node'] as const;
