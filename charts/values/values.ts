import { z } from 'zod';
import { controller } from './controller.ts';
import { edge } from './edge.ts';
import { count, group, part, parts, text, textMap, texts, toggle } from './field.ts';
import { proxy } from './proxy.ts';
import { image } from './workload.ts';

const monitor = {
  enabled: toggle(false, 'create it; the kinds of the Prometheus operator must be there'),
  annotations: textMap('its annotations'),
  namespace: text('', 'its namespace; empty: that of the release'),
  additionalLabels: textMap('its labels, by which Prometheus finds it'),
  scrapeInterval: text('30s', 'how often is asked'),
  scrapeTimeout: text('', 'how long is waited'),
  honorLabels: toggle(
    true,
    'keep the label namespace of the samples, which is that of what is counted; alerts and dashboards need it',
  ),
  relabelings: parts('rules for targets'),
  metricRelabelings: parts('rules for samples'),
};

/** The values of charts/sluice: one source for values.yaml, values.schema.json and the table of its README. */
export const Values = z.strictObject({
  // Charts that depend on this one may shape `global` and `enabled` as they like.
  global: z
    .looseObject({
      imageRegistry: text('', 'registry of all images; goes before `image.registry`'),
      imagePullSecrets: parts('names of Secrets for registries, as `- name: …`'),
    })
    .prefault({})
    .describe('what all charts of a release share'),
  nameOverride: text('', 'name of the chart in names and labels'),
  fullnameOverride: text('', 'beginning of all names; empty: that of the release'),
  namespaceOverride: text('', 'namespace of all objects; empty: that of the release'),
  commonLabels: textMap('labels of all objects'),
  commonAnnotations: textMap('annotations of all objects'),
  image: image('sluice/sluice', 'the image of controller and proxies'),
  imagePullSecrets: parts('names of Secrets for registries, as `- name: …`'),
  controller,
  proxy,
  edge,
  tcp: textMap('TCP ports that lead to Services: port → NAMESPACE/SERVICE:PORT[:PROXY][:PROXY or :PROXY-V2]'),
  udp: textMap('UDP ports that lead to Services: port → NAMESPACE/SERVICE:PORT'),
  portNamePrefix: text('', 'beginning of the names of these ports'),
  redis: group('the Redis through which proxies share what they remember of clients', {
    url: text('', 'redis://HOST:PORT, or rediss:// for TLS; empty: each proxy remembers for itself'),
    existingSecret: group('a Secret that holds its password', {
      name: text('', 'name of the Secret; empty: there is no password'),
      key: text('password', 'key in the Secret'),
    }),
    existingCa: group('a Secret with the authorities of a rediss:// server', {
      name: text('', 'name of the Secret; empty: the public ones'),
      key: text('ca.crt', 'key in the Secret'),
    }),
  }),
  crds: group('the definitions of our own kinds', {
    enabled: toggle(true, 'install and upgrade them with the chart'),
    keep: toggle(true, 'leave them, and all pools and peers, when the chart is uninstalled'),
  }),
  rbac: group('permissions', {
    create: toggle(true, 'create roles and bindings; false: they are there, for the service account NAME-leave, too'),
  }),
  networkPolicy: group('a NetworkPolicy for each component', {
    enabled: toggle(false, 'create them; traffic that the components do not need is refused'),
    adminFrom: parts(
      'who may ask the admin ports, as peers of a NetworkPolicy: Prometheus, and the API server for `sluice status`; empty: everybody',
    ),
  }),
  priorityClass: group('a PriorityClass of our own for controllers and proxies', {
    create: toggle(false, 'create it'),
    name: text('', 'its name; empty: that of the release'),
    value: count(1_000_000, 'its value'),
  }),
  metrics: group('how Prometheus finds the metrics, which are on the admin ports', {
    service: group('a Service for each component', {
      enabled: toggle(false, 'create them'),
      annotations: textMap('their annotations'),
      labels: textMap('their labels'),
    }),
    serviceMonitor: group('a ServiceMonitor for these', {
      ...monitor,
      targetLabels: texts('labels of the Services that samples get'),
    }),
    podMonitor: group('a PodMonitor, which needs no Services', {
      ...monitor,
      podTargetLabels: texts('labels of the pods that samples get'),
    }),
    prometheusRule: group('alerts, as files/alerts.yaml has them', {
      enabled: toggle(false, 'create it; the kinds of the Prometheus operator must be there'),
      annotations: textMap('its annotations'),
      namespace: text('', 'its namespace; empty: that of the release'),
      additionalLabels: textMap('its labels, by which Prometheus finds it'),
    }),
    dashboards: group('dashboards for Grafana, in a ConfigMap', {
      enabled: toggle(false, 'create it'),
      annotations: textMap('its annotations, as `grafana_folder: Sluice`'),
      namespace: text('', 'its namespace; empty: that of the release'),
      additionalLabels: textMap('its labels, by which Grafana finds it, as `grafana_dashboard: "1"`'),
    }),
  }),
  test: group('the pod of `helm test`', {
    annotations: textMap('its annotations'),
    resources: part('its requests and limits'),
  }),
  uninstall: group('what clears up before the chart is uninstalled', {
    enabled: toggle(true, 'take back addresses, rules on nodes, the Lease and the keys'),
    timeoutSeconds: count(240, 'how long it may take, seconds'),
  }),
  extraObjects: z
    .array(z.union([z.string(), z.record(z.string(), z.unknown())]))
    .default([])
    .describe('further objects, as objects or as texts; both are templates'),
  enabled: z.boolean().default(true).describe('not read here; for the conditions of charts that depend on this one'),
});
