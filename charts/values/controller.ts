import { choice, count, group, part, port, text, textMap, texts, toggle } from './field.ts';
import { logLevel, replicas, workload } from './workload.ts';

export const controller = group('the brain: watches the cluster and tells proxies and objects what follows', {
  ...replicas(2),
  hostNetwork: toggle(false, 'give the pods the network of their nodes'),
  logLevel: logLevel(),
  containerPort: group('ports of the container', {
    publish: port(9443, 'table stream that proxies and edges follow'),
    admin: port(10_254, 'health, metrics and pages'),
  }),
  ingressClassResource: group('the IngressClass', {
    enabled: toggle(true, 'create it'),
    name: text('sluice', 'its name; Ingresses name it in `spec.ingressClassName`'),
    default: toggle(false, 'make it the class of Ingresses that name none'),
    controllerValue: text('sluice.dev/ingress-controller', 'its `spec.controller`'),
    annotations: textMap('its annotations'),
    parameters: part('its parameters'),
  }),
  adoptControllerClass: texts(
    'further `spec.controller` values whose classes are served, as k8s.io/ingress-nginx while moving',
  ),
  watchIngressWithoutClass: toggle(false, 'serve Ingresses that name no class, too'),
  config: textMap(
    'settings for all objects, with the keys of ingress-nginx (docs/configmap.md); changed without a restart',
  ),
  configAnnotations: textMap('annotations of the ConfigMap of these'),
  defaultSslCertificate: text(
    '',
    'NAMESPACE/NAME of the Secret for unknown server names; empty: a self-signed certificate',
  ),
  defaultBackendService: text(
    '',
    'NAMESPACE/NAME:PORT of the Service for requests that no rule takes; empty: a page that says 404',
  ),
  publishService: group('addresses of a Service go to the status of Ingresses', {
    enabled: toggle(true, 'do so, unless `statusAddress` is said'),
    pathOverride: text('', 'NAMESPACE/NAME of the Service; empty: that of the proxies'),
  }),
  statusAddress: texts('addresses or names for the status of Ingresses instead'),
  scope: group('limits the controller to some namespaces', {
    enabled: toggle(false, 'do so; there can be no edge then'),
    namespaces: texts('the namespaces; empty: that of the release'),
  }),
  admissionWebhooks: group(
    'asks the controllers before the API server takes an object, so that mistakes are told at once',
    {
      enabled: toggle(false, 'do so; the controllers make its certificate and renew it'),
      failurePolicy: choice(['Ignore', 'Fail'], 'Ignore', 'what holds while no controller answers'),
      port: port(9444, 'port of the container'),
      timeoutSeconds: count(5, 'how long the API server waits, seconds'),
      namespaceSelector: part('namespaces whose objects are asked about; empty: all'),
      objectSelector: part('objects that are asked about; empty: all'),
      annotations: textMap('annotations of the configuration'),
    },
  ),
  apiServer: group('where the API server is, for clusters without kube-proxy in which its Service answers only later', {
    host: text('', 'its address; empty: as every pod is told'),
    port: count(6443, 'its port'),
  }),
  ...workload({
    resources: { requests: { cpu: '100m', memory: '192Mi' }, limits: { memory: '512Mi' } },
    graceSeconds: 30,
  }),
});
