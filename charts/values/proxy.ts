import { z } from 'zod';
import { choice, count, group, optionalCount, part, parts, port, text, textMap, texts, toggle } from './field.ts';
import { logLevel, replicas, workload } from './workload.ts';

export const proxy = group('the fleet that moves the bytes', {
  enabled: toggle(true, 'run proxies; without them, only Services of type LoadBalancer are served (edge)'),
  kind: choice(['Deployment', 'DaemonSet'], 'Deployment', 'a number of pods, or one on each node'),
  ...replicas(2),
  logLevel: logLevel(),
  // To Helm, off without quotes is a switch.
  accessLog: z
    .union([z.string(), z.literal(false)])
    .default('off')
    .describe('access log: off, stdout, or the path of a file'),
  workers: count(0, 'worker processes of a pod; 0: one for each CPU that it may use'),
  drainDelaySeconds: count(
    10,
    'how long a pod that has to leave serves as before, unready, until those who send traffic know, seconds; the rest of the grace period is for requests in flight',
  ),
  containerPort: group('ports of the container', {
    http: port(8080, 'http'),
    https: port(8443, 'https'),
    admin: port(10_254, 'health, metrics and pages'),
  }),
  hostPort: group('ports of the node that lead to the pod', {
    enabled: toggle(false, 'open them'),
    ports: group('which', { http: port(80, 'for http'), https: port(443, 'for https') }),
  }),
  hostNetwork: toggle(false, 'give the pods the network of their nodes, with the ports of `containerPort`'),
  service: group('the Service that leads to the proxies', {
    enabled: toggle(true, 'create it'),
    type: choice(['LoadBalancer', 'NodePort', 'ClusterIP'], 'LoadBalancer', 'its type'),
    annotations: textMap('its annotations'),
    labels: textMap('its labels'),
    loadBalancerClass: text('', 'who gives it an address; empty: with `edge.enabled` our edge, else the cluster'),
    loadBalancerIP: text('', 'address to ask for'),
    loadBalancerSourceRanges: texts('ranges of clients that are let in'),
    allocateLoadBalancerNodePorts: toggle(true, 'have node ports, too, with type LoadBalancer'),
    externalIPs: texts('further addresses that lead to it'),
    externalTrafficPolicy: choice(
      ['', 'Local', 'Cluster'],
      'Local',
      'Local: clients keep their address, and only nodes with a proxy take traffic',
    ),
    internalTrafficPolicy: choice(['', 'Local', 'Cluster'], '', 'the same for clients inside the cluster'),
    trafficDistribution: text('', 'which endpoints are preferred, as PreferSameZone'),
    ipFamilyPolicy: choice(
      ['', 'SingleStack', 'PreferDualStack', 'RequireDualStack'],
      'PreferDualStack',
      'IPv4, IPv6 or both',
    ),
    ipFamilies: texts('IPv4, IPv6, in this order; empty: as the cluster has them'),
    clusterIP: text('', 'its cluster address; None: no address, only names'),
    sessionAffinity: choice(['', 'None', 'ClientIP'], '', 'whether a client stays with one proxy'),
    healthCheckNodePort: count(0, 'port for the health checks of load balancers, with Local; 0: the cluster chooses'),
    enableHttp: toggle(true, 'lead http to the proxies'),
    enableHttps: toggle(true, 'lead https to the proxies'),
    ports: group('its ports', { http: port(80, 'for http'), https: port(443, 'for https') }),
    nodePorts: group('ports on every node; null: the cluster chooses', {
      http: optionalCount(null, 'for http'),
      https: optionalCount(null, 'for https'),
    }),
  }),
  autoscaling: group('a HorizontalPodAutoscaler', {
    enabled: toggle(false, 'create it'),
    annotations: textMap('its annotations'),
    minReplicas: count(2, 'least number of pods'),
    maxReplicas: count(11, 'greatest number of pods'),
    targetCPUUtilizationPercentage: optionalCount(
      60,
      'share of the CPU request that is aimed at; null: does not matter',
    ),
    targetMemoryUtilizationPercentage: optionalCount(
      null,
      'share of the memory request that is aimed at; null: does not matter',
    ),
    behavior: part('how fast it scales'),
  }),
  autoscalingTemplate: parts('further metrics of the HorizontalPodAutoscaler'),
  keda: group('a ScaledObject of KEDA', {
    enabled: toggle(false, 'create it; not together with autoscaling'),
    apiVersion: text('keda.sh/v1alpha1', 'its API version'),
    minReplicas: count(2, 'least number of pods'),
    maxReplicas: count(11, 'greatest number of pods'),
    pollingInterval: count(30, 'how often triggers are asked, seconds'),
    cooldownPeriod: count(300, 'how long after the last trigger it scales to none, seconds'),
    restoreToOriginalReplicaCount: toggle(false, 'go back to the number of before when it is deleted'),
    scaledObject: group('the object', { annotations: textMap('its annotations') }),
    fallback: part('what holds when triggers cannot be asked'),
    behavior: part('how fast it scales'),
    triggers: parts('what it scales by'),
  }),
  ...workload({
    resources: { requests: { cpu: '100m', memory: '256Mi' } },
    graceSeconds: 300,
  }),
});
