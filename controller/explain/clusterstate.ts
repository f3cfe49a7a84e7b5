import { pino } from 'pino';
import type { TranslateOptions } from '../translate/options.ts';
import { Translator } from '../translate/translator.ts';
import type { Cluster } from '../watch/api.ts';
import { watchCluster } from '../watch/cluster.ts';
import { HeldView } from '../watch/held.ts';
import type { ReadProblem, ViewUpdate } from '../watch/view.ts';

/** Objects of a cluster, as a controller sees them. */
export interface ClusterObjects {
  readonly view: HeldView;
  readonly unreadable: readonly ReadProblem[];
}

/**
 * Reads the objects of a cluster once, with the rights of whoever asks.
 *
 * @param secrets `named`: those that the objects name, too
 * @throws when they do not come in time, with what the API server says
 */
export async function readCluster(
  cluster: Cluster,
  options: TranslateOptions,
  { secrets, limitMs }: { secrets: 'named' | 'none'; limitMs: number },
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
      // Which are named is for translate to say.
      const named = () => new Translator(options).apply(update.view, [], [], Date.now()).secretsInUse;
      if (secrets === 'none' || source.useSecrets(named()).size === 0) resolve(update);
    },
  });
  const timer = setTimeout(() => {
    const failed = Object.entries(source.state()).flatMap(([kind, { failure }]) => failure && `${kind}: ${failure}`);
    reject(new Error(`the cluster cannot be read: ${failed.filter((text) => text).join('; ') || 'it takes too long'}`));
  }, limitMs);
  try {
    const { view, unreadable } = await promise;
    const copy = new HeldView();
    for (const kind of kindsRead) for (const object of view.all(kind)) copy.put(object);
    return { view: copy, unreadable };
  } finally {
    clearTimeout(timer);
    source.stop();
  }
}

const kindsRead = ['Ingress', 'IngressClass', 'Service', 'EndpointSlice', 'Secret', 'ConfigMap', 'Node'] as const;
