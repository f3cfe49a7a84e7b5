import { z } from 'zod';
import { amount, choice, count, group, optionalCount, part, parts, text, textMap, toggle } from './field.ts';

interface Usual {
  resources: Record<string, unknown>;
  graceSeconds: number;
  priorityClassName?: string;
  tolerations?: Record<string, unknown>[];
}

/** What the pods of every component have, with the same keys. */
export function workload({ resources, graceSeconds, priorityClassName = '', tolerations = [] }: Usual) {
  return {
    resources: part('requests and limits of the container', resources),
    extraArgs: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .default({})
      .describe('further flags of the command, as `http-redirect-code: 301`; `sluice COMMAND --help` lists them'),
    extraEnvs: parts('further environment variables'),
    extraVolumes: parts('further volumes of the pod'),
    extraVolumeMounts: parts('where the container mounts them'),
    extraContainers: parts('further containers of the pod'),
    extraInitContainers: parts('containers that run before'),
    annotations: textMap('annotations of the Deployment or DaemonSet'),
    labels: textMap('labels of the Deployment or DaemonSet'),
    podAnnotations: textMap('annotations of the pods'),
    podLabels: textMap('labels of the pods'),
    nodeSelector: textMap('labels of the nodes that the pods may run on', { 'kubernetes.io/os': 'linux' }),
    tolerations: parts('taints of nodes that the pods bear', tolerations),
    affinity: part('affinity of the pods'),
    priorityClassName: text(priorityClassName, 'class of priority; empty: that of `priorityClass`, if it is created'),
    runtimeClassName: text('', 'class of the container runtime'),
    terminationGracePeriodSeconds: count(graceSeconds, 'how long a pod may take to leave, seconds'),
    minReadySeconds: count(0, 'how long a new pod must be ready before it counts, seconds'),
    revisionHistoryLimit: count(10, 'how many old revisions are kept'),
    updateStrategy: part(
      'how pods are replaced by new ones; empty: one by one, the new one first where both can be on one node',
    ),
    podSecurityContext: part('security context of the pods', { seccompProfile: { type: 'RuntimeDefault' } }),
    dnsPolicy: text('', 'DNS policy of the pods; empty: what goes with the network that they have'),
    dnsConfig: part('DNS settings of the pods'),
    hostAliases: parts('further lines of /etc/hosts'),
    serviceAccount: group('who the pods are to the API server', {
      create: toggle(true, 'create the ServiceAccount'),
      name: text('', 'its name; empty: made from the name of the release'),
      annotations: textMap('its annotations'),
    }),
  };
}

/** What a component has of which several pods run and any of them will do. */
export function replicas(usualCount: number) {
  return {
    replicaCount: optionalCount(usualCount, 'how many pods; not used while something scales them'),
    topologySpreadConstraints: parts(
      'how the pods are spread; empty: over zones and nodes, as far as that is possible. Without labelSelector: that of the component',
    ),
    podDisruptionBudget: group('how many pods may be away when nodes are emptied; made for two pods and more', {
      enabled: toggle(true, 'create the PodDisruptionBudget'),
      minAvailable: amount(null, 'how many must stay, as a number or a share'),
      maxUnavailable: amount(1, 'how many may be away, if `minAvailable` is not said'),
      unhealthyPodEvictionPolicy: choice(
        ['', 'IfHealthyBudget', 'AlwaysAllow'],
        'AlwaysAllow',
        'whether pods that are not ready may be evicted, whatever the budget says',
      ),
    }),
  };
}

/** In a ConfigMap that every pod follows; a word that is none would be passed over there. */
export function logLevel() {
  const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const;
  return choice(levels, 'info', 'least severe log line: debug, info, warn, error or silent; changed without a restart');
}

/** The image of a component. */
export function image(repository: string, about: string) {
  return group(about, {
    registry: text('ghcr.io', 'registry; `global.imageRegistry` goes before it'),
    repository: text(repository, 'name in the registry'),
    tag: text('', 'tag; empty: the appVersion of the chart'),
    digest: text('', 'digest, as sha256:…; it decides, whatever the tag says'),
    pullPolicy: choice(['IfNotPresent', 'Always', 'Never'], 'IfNotPresent', 'when it is pulled'),
  });
}
