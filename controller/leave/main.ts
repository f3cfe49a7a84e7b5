import type { ValuesOf } from '../ops/flag.ts';
import type { leaveFlags } from '../ops/leaveflags.ts';
import { followedLevel } from '../ops/levelfile.ts';
import { openLog } from '../ops/log.ts';
import { openCluster } from '../watch/api.ts';
import { cleanNodes } from './nodes.ts';
import { Removal } from './removal.ts';
import { releaseServices } from './services.ts';

/**
 * `sluice leave`: takes back what an installation has made and no manifest describes, so that what is deleted afterwards is
 * all of it. First those go who would make it anew.
 *
 * @throws When the API server refuses, or something does not end in time; whoever calls again goes on where this stopped.
 */
export async function runLeave(settings: ValuesOf<typeof leaveFlags>): Promise<void> {
  const log = openLog(followedLevel(settings), {});
  const cluster = await openCluster({
    kubeconfig: settings.kubeconfig ?? undefined,
    context: settings.context ?? undefined,
  });
  const namespace = settings.controllerNamespace ?? cluster.namespace;
  const removal = new Removal(cluster, namespace, performance.now() + settings.timeout, log);
  try {
    await removal.endWorkload('deployments', settings.controllerWorkload);
    // Without an edge the records in Services, if there are any, are those of another installation.
    if (settings.edgeWorkload !== null) {
      await cleanNodes(removal, settings.edgeWorkload);
      await releaseServices(cluster, log);
    }
    for (const name of ownSecrets) await removal.delete(`/api/v1/namespaces/${namespace}/secrets/${name}`);
    await removal.delete(
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases/${encodeURIComponent(settings.leaderElectionId)}`,
    );
  } finally {
    await cluster.close();
  }
}

/** What controllers keep for replicas that come after them (publish/fleetrows.ts). */
const ownSecrets = ['sluice-authority', 'sluice-default-certificate', 'sluice-fleet-key', 'sluice-edge-key'];
