import type { Log } from '#kit/log.ts';
import type { standaloneEdgeFlags } from './controller/ops/edgeflags.ts';
import type { ValuesOf } from './controller/ops/flag.ts';
import { Plans } from './controller/plans.ts';
import { edgeRows } from './controller/publish/fleetrows.ts';
import type { Store } from './controller/publish/store.ts';
import { Notebook } from './controller/status/notebook.ts';
import { ServiceWriter } from './controller/status/servicewriter.ts';
import { machineNode } from './controller/watch/machine.ts';
import type { AnyObject } from './controller/watch/objects.ts';
import { keyOf } from './controller/watch/view.ts';
import { startEdge } from './proxy/edge/agent.ts';

interface StandaloneEdgeSettings extends ValuesOf<typeof standaloneEdgeFlags> {
  readonly adminAddress: string;
  readonly stateDir: string | null;
}

interface StandaloneEdge {
  readonly plans: Plans;
  readonly adminPort: number;
  /** Adds what the machine is, and what its Services were given, to the objects of files. */
  complete(objects: Map<string, AnyObject>): void;
  /** `lookAgain` brings what was written back into the view, as a watch would. */
  follow(source: { lookAgain(): void }): void;
  /** The rules stay in force, and BIRD goes on. */
  stop(): Promise<void>;
}

/**
 * The edge of a machine without Kubernetes: the controller's plan and the agent of a node in one process. Composition only.
 *
 * @throws as startEdge, and when the state folder cannot be used
 */
export async function openStandaloneEdge(
  settings: StandaloneEdgeSettings,
  store: Store,
  log: Log,
): Promise<StandaloneEdge> {
  const { node, stateDir } = settings;
  const notebook = await Notebook.open(stateDir);
  const edge = await startEdge({
    ...settings,
    adminPort: settings.edgeAdminPort,
    masqueradeBit: settings.masqueradeMark,
    addressLifetimeS: settings.addressLifetime,
    nodeHealthPort: settings.nodeHealthPort ?? (settings.services === 'all' ? 10_256 : null),
    // The manifests are there whenever this process is.
    stateDir: null,
    stateKeyFile: null,
    staleAcceptMs: 0,
    isPlanLive: () => true,
    log,
  });
  // Nobody else is there to whom a Service without a class could belong, nor an edge that would have to find us.
  const options = { loadBalancerClass: 'sluice.dev/edge', servesClassless: true, secretNamespace: 'default' };
  const plans = new Plans(options, await edgeRows(store), 0);
  const unsubscribe = plans.publisher.subscribe({
    name: node,
    zone: null,
    node,
    admin: null,
    hash: '',
    isObserver: false,
    deliver: ({ isSnapshot, rows, deletes, commit }) =>
      edge.apply({ isSnapshot, upserts: rows.map(({ entry }) => entry), deletes, commit }),
  });
  let services: ServiceWriter | null = null;

  return {
    plans,
    adminPort: edge.adminPort,
    complete(objects) {
      for (const [name, object] of objects) {
        if (object.kind === 'Service') objects.set(name, notebook.complete(keyOf(object), object));
      }
      const machine = machineNode(node, notebook.addresses());
      if (machine !== null && !objects.has(`Node /${node}`)) objects.set(`Node /${node}`, machine);
    },
    follow(source) {
      services = new ServiceWriter({
        write: notebook.writer(() => source.lookAgain()),
        plans,
        tell: ({ source: { namespace, name }, message }) => log.info({ service: `${namespace}/${name}` }, message),
        log,
      });
      plans.writeBy({ services, pools: { changed() {} }, announced: { assigned() {} } });
      services.lead(true);
    },
    async stop() {
      services?.stop();
      // The manifests are read on, for the proxy.
      unsubscribe();
      await edge.stop();
    },
  };
}
