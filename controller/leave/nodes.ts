import { z } from 'zod';
import { type Removal, requireDone } from './removal.ts';

/** Of an edge's DaemonSet, as the chart makes it: what its pods for cleaning have in common with it. */
const EdgeWorkload = z.object({
  metadata: z.object({ labels: z.record(z.string(), z.string()).default({}) }),
  spec: z.object({
    template: z.object({
      spec: z.looseObject({
        nodeSelector: z.record(z.string(), z.string()).default({}),
        containers: z
          .array(
            z.looseObject({
              image: z.string(),
              imagePullPolicy: z.string().optional(),
              securityContext: z.unknown().optional(),
              volumeMounts: z.array(z.looseObject({ name: z.string() })).default([]),
            }),
          )
          .min(1),
        volumes: z
          .array(
            z.looseObject({ name: z.string(), hostPath: z.unknown().optional(), emptyDir: z.unknown().optional() }),
          )
          .default([]),
      }),
    }),
  }),
});

const Progress = z.object({
  metadata: z.object({ generation: z.int() }),
  status: z.object({
    observedGeneration: z.int().default(0),
    desiredNumberScheduled: z.int().default(0),
    numberReady: z.int().default(0),
  }),
});

/**
 * Takes away what agents have left in the kernels of their nodes, which they leave in force when they end. On each node that has
 * had one, a pod runs `sluice edge cleanup` once.
 *
 * @throws When nodes do not answer in time; what is in their kernels goes with their next boot.
 */
export async function cleanNodes(removal: Removal, name: string): Promise<void> {
  const { cluster, log } = removal;
  const cleaner = `${name}-cleanup`;
  const found = await cluster.call({ path: removal.workloadPath('daemonsets', name) });
  if (found.status !== 404) {
    requireDone(found, `DaemonSet ${name} cannot be read`);
    const made = await cluster.call({
      method: 'POST',
      path: removal.workloadPath('daemonsets'),
      body: cleanerOf(cleaner, EdgeWorkload.parse(found.body)),
    });
    // It is there before the edge goes, so that a second attempt finds what to do, and has no pods before: an agent that
    // still runs would write its rules anew.
    if (made.status !== 409) requireDone(made, `DaemonSet ${cleaner} cannot be created`);
    await removal.endWorkload('daemonsets', name);
  }
  const path = removal.workloadPath('daemonsets', cleaner);
  const begun = await cluster.call({
    method: 'PATCH',
    path,
    body: { spec: { template: { spec: { nodeSelector: { [waitsLabel]: null } } } } },
    contentType: 'application/merge-patch+json',
  });
  if (begun.status === 404) return;
  requireDone(begun, `DaemonSet ${cleaner} cannot be started`);
  await removal.until('all nodes to be cleaned', async () => {
    const answer = await cluster.call({ path });
    if (answer.status === 404) return true;
    requireDone(answer, `DaemonSet ${cleaner} cannot be read`);
    const { metadata, status } = Progress.parse(answer.body);
    const isSeen = status.observedGeneration >= metadata.generation;
    return isSeen && status.numberReady === status.desiredNumberScheduled;
  });
  await removal.endWorkload('daemonsets', cleaner);
  log.info({}, 'nodes are clean');
}

/** No node has it. */
const waitsLabel = 'sluice.dev/waits';

/** Its pods clean and then are ready. */
function cleanerOf(name: string, { metadata, spec }: z.infer<typeof EdgeWorkload>): object {
  const { containers, volumes, nodeSelector, ...pod } = spec.template.spec;
  const [agent] = containers;
  if (agent === undefined) throw new Error(`${name}: the edge has no container`);
  // Without what agents need to follow controllers.
  const kept = volumes.filter(({ hostPath, emptyDir }) => hostPath !== undefined || emptyDir !== undefined);
  const container = {
    image: agent.image,
    ...(agent.imagePullPolicy !== undefined && { imagePullPolicy: agent.imagePullPolicy }),
    securityContext: agent.securityContext,
    volumeMounts: agent.volumeMounts.filter((mount) => kept.some((volume) => volume.name === mount.name)),
  };
  const selector = { 'app.kubernetes.io/component': 'cleanup', 'sluice.dev/cleans': name };
  const labels = { ...metadata.labels, ...selector };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, labels },
    spec: {
      selector: { matchLabels: selector },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
      template: {
        metadata: { labels },
        spec: {
          ...pod,
          nodeSelector: { ...nodeSelector, [waitsLabel]: 'true' },
          volumes: kept,
          terminationGracePeriodSeconds: 1,
          initContainers: [{ ...container, name: 'cleanup', args: ['edge', 'cleanup'] }],
          containers: [{ ...container, name: 'done', command: ['node', '-e', 'setInterval(() => {}, 1e6)'] }],
        },
      },
    },
  };
}
