/** What becomes of a value of ingress-nginx's chart. */
export type Rule =
  /** Goes to these places of ours; `but` says what to know about it. */
  (
    | { readonly does: 'move'; readonly to: readonly string[]; readonly but?: string }
    /** Is not needed here. */
    | { readonly does: 'ignore'; readonly why: string }
    /** Was for something, and a person has to see to it. */
    | { readonly does: 'refuse'; readonly advice: string }
  ) & {
    /** What the value is unless somebody sets it, where that means nothing here. */
    readonly unless?: string;
  };

const keep = (...paths: string[]): [string, Rule][] => paths.map((path) => [path, { does: 'move', to: [path] }]);

const move = (from: string, to: string | string[], but?: string): [string, Rule][] => [
  [from, { does: 'move', to: [to].flat(), ...(but !== undefined && { but }) }],
];

const ignore = (why: string, ...paths: string[]): [string, Rule][] =>
  paths.map((path) => [path, { does: 'ignore', why }]);

const refuse = (advice: string, ...paths: string[]): [string, Rule][] =>
  paths.map((path) => [path, { does: 'refuse', advice }]);

const unless = (value: string, rules: [string, Rule][]): [string, Rule][] =>
  rules.map(([path, rule]) => [path, { ...rule, unless: value }]);

/** Below `controller` there: their pods carry traffic, which proxies do here. */
const ofProxies = [
  ...[
    'annotations',
    'labels',
    'podAnnotations',
    'podLabels',
    'updateStrategy',
    'minReadySeconds',
    'kind',
    'replicaCount',
  ],
  ...[
    'hostAliases',
    'dnsConfig',
    'dnsPolicy',
    'runtimeClassName',
    'service',
    'autoscaling',
    'autoscalingTemplate',
    'keda',
  ],
  ...['extraVolumeMounts', 'extraContainers', 'extraInitContainers', 'terminationGracePeriodSeconds'],
];

const taken = 'ingress-nginx has it; set it at proxy.service, or ask for another, when that is gone.';
const ownNamespace = 'Secrets and ConfigMaps that it names must be in the namespace of the release, too';
const ownName = 'both installations would have the names; those of the release do';
const ownImage = 'an image of ingress-nginx; ours are image and edge.image';
const ownProbes = 'probes come with the chart';
const ownCertificate = 'controllers make the certificate themselves, and renew it';
const ownSnippets = 'snippets are never run; docs/migration.md says what holds for each annotation';
const ownLease = 'the Lease has a name of its own';
const ownSettings = 'the ConfigMaps are in the namespace of the release';
const ownIdentity = 'pods run as user 65532 and may do nothing; nothing needs changing';
const ownAccounts = 'each component has a ServiceAccount of its own: controller.serviceAccount and so on';
const ownClass = 'the class stays with ingress-nginx, and is served, too';

/** By path there; the longest that leads to a value decides, and the keys below it go with it. */
export const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...move('imagePullSecrets', 'imagePullSecrets', ownNamespace),
  ...keep('commonLabels', 'namespaceOverride', 'portNamePrefix', 'tcp', 'udp', 'rbac.create'),
  ...unless('registry.k8s.io', move('global.image.registry', 'global.imageRegistry', 'our images must be there, too')),
  ...ignore(
    ownName,
    'nameOverride',
    'fullnameOverride',
    'controller.name',
    'controller.containerName',
    'controller.hostname',
  ),
  ...refuse(
    'They are for a chart that ingress-nginx is a part of: give what is below this key by itself, and put what comes of it below the key of ours.',
    'ingress-nginx',
  ),
  ...ignore('permissions follow controller.scope', 'rbac.scope'),
  ...ignore(ownAccounts, 'serviceAccount'),
  ...ignore('there are no PodSecurityPolicies any more', 'podSecurityPolicy', 'controller.existingPsp'),
  ...ignore('keys are exchanged by elliptic curves', 'dhParam'),
  ...move('revisionHistoryLimit', ['controller.revisionHistoryLimit', 'proxy.revisionHistoryLimit']),
  ...refuse(
    'Install the backend by itself, and name its Service in controller.defaultBackendService.',
    'defaultBackend.enabled',
  ),
  ...ignore('belongs to the default backend, which the chart does not have', 'defaultBackend'),

  ...keep(
    ...['config', 'configAnnotations', 'watchIngressWithoutClass', 'scope.enabled'].map((key) => `controller.${key}`),
    ...['enabled', 'annotations', 'parameters'].map((key) => `controller.ingressClassResource.${key}`),
    ...['enabled', 'failurePolicy', 'timeoutSeconds', 'namespaceSelector', 'objectSelector', 'annotations'].map(
      (key) => `controller.admissionWebhooks.${key}`,
    ),
  ),
  ...ofProxies.flatMap((key) => move(`controller.${key}`, `proxy.${key}`)),
  ...['extraEnvs', 'extraVolumes'].flatMap((key) => move(`controller.${key}`, `proxy.${key}`, ownNamespace)),
  ...['nodeSelector', 'tolerations', 'priorityClassName'].flatMap((key) =>
    move(`controller.${key}`, [`controller.${key}`, `proxy.${key}`]),
  ),
  ...move('controller.image.pullPolicy', 'image.pullPolicy'),
  ...ignore(ownImage, 'controller.image'),
  ...move('controller.hostPort', 'proxy.hostPort', 'the ports of a node are free when ingress-nginx has left it'),
  ...move(
    'controller.hostNetwork',
    'proxy.hostPort.enabled',
    'the same ports of the node, without its network; they are free when ingress-nginx has left it',
  ),
  ...ignore('proxies listen on 8080 and 8443; what clients see is proxy.service.ports', 'controller.containerPort'),
  ...refuse(
    'Its label selectors name the pods of ingress-nginx. Proxies are spread over zones and nodes anyway; write proxy.affinity for more.',
    'controller.affinity',
  ),
  ...move('controller.affinity.nodeAffinity', 'proxy.affinity.nodeAffinity'),
  ...move(
    'controller.topologySpreadConstraints',
    'proxy.topologySpreadConstraints',
    'without labelSelector, which the chart adds',
  ),
  ...refuse(
    'Figures for nginx do not fit. Begin with those of the chart, and set proxy.resources by what you see.',
    'controller.resources',
  ),
  ...['minAvailable', 'maxUnavailable', 'unhealthyPodEvictionPolicy'].flatMap((key) =>
    move(`controller.${key}`, `proxy.podDisruptionBudget.${key}`),
  ),
  ...move('controller.networkPolicy.enabled', 'networkPolicy.enabled'),
  ...ignore(ownIdentity, 'controller.podSecurityContext', 'controller.containerSecurityContext'),
  ...refuse('Set it as proxy.podSecurityContext.sysctls, a list of name and value.', 'controller.sysctls'),

  ...ignore(
    ownClass,
    'controller.ingressClassResource.name',
    'controller.ingressClassResource.aliases',
    'controller.ingressClass',
  ),
  ...move('controller.ingressClassResource.controllerValue', 'controller.adoptControllerClass'),
  ...refuse(
    'Two classes cannot be the default: set it again when ingress-nginx is gone.',
    'controller.ingressClassResource.default',
  ),
  ...refuse(
    'Name the spec.controller of the classes in controller.adoptControllerClass.',
    'controller.ingressClassByName',
  ),
  ...ignore('ingress-nginx writes the addresses until you switch it on here', 'controller.publishService'),
  ...refuse(
    'Give the addresses in controller.statusAddress when ingress-nginx is gone.',
    'controller.reportNodeInternalIp',
  ),
  ...move('controller.scope.namespace', 'controller.scope.namespaces'),
  ...refuse('Namespaces are chosen by name: controller.scope.namespaces.', 'controller.scope.namespaceSelector'),
  ...ignore(ownSettings, 'controller.configMapNamespace', 'controller.tcp', 'controller.udp'),
  ...ignore(ownLease, 'controller.electionID', 'controller.electionTTL'),
  ...ignore(ownSnippets, 'controller.allowSnippetAnnotations', 'controller.enableAnnotationValidations'),
  ...ignore(ownCertificate, 'controller.admissionWebhooks'),
  ...ignore(
    ownProbes,
    ...['livenessProbe', 'readinessProbe', 'startupProbe', 'healthCheckPath', 'healthCheckHost'].map(
      (key) => `controller.${key}`,
    ),
  ),
  ...ignore('a proxy that is told to go drains by itself (proxy.drainDelaySeconds)', 'controller.lifecycle'),
  ...ignore(
    'there is no nginx',
    ...['enableMimalloc', 'shareProcessNamespace', 'progressDeadlineSeconds'].map((key) => `controller.${key}`),
  ),
  ...refuse('There is no template; annotations and controller.config say all there is.', 'controller.customTemplate'),
  ...ignore('hints of topology are honoured where Services ask for them', 'controller.enableTopologyAwareRouting'),
  ...refuse('There are no modules.', 'controller.extraModules'),
  ...ignore(
    'nothing has to be loaded for traces; their keys of controller.config are honoured',
    'controller.opentelemetry',
  ),
  ...refuse('There is no GeoIP.', 'controller.maxmindLicenseKey'),
  ...refuse('Headers are set by the backends for now.', 'controller.proxySetHeaders', 'controller.addHeaders'),

  ...move(
    'controller.service.annotations',
    'proxy.service.annotations',
    'where they name an address or a host, both Services ask for it',
  ),
  ...move('controller.service.external.enabled', 'proxy.service.enabled'),
  ...refuse('A second Service for the proxies is an object of extraObjects.', 'controller.service.internal.enabled'),
  ...ignore('belongs to a second Service, which the chart does not have', 'controller.service.internal'),
  ...refuse(
    taken,
    ...['loadBalancerIP', 'clusterIP', 'clusterIPs', 'externalIPs', 'nodePorts', 'healthCheckNodePort'].map(
      (key) => `controller.service.${key}`,
    ),
  ),
  ...ignore(
    'ports of the Service lead to http and https',
    'controller.service.appProtocol',
    'controller.service.targetPorts.http',
  ),
  ...unless(
    'https',
    refuse('Where TLS ends at the balancer, docs/cloud.md says what to set.', 'controller.service.targetPorts.https'),
  ),

  ...move('controller.metrics.enabled', 'metrics.service.enabled'),
  ...['annotations', 'labels'].flatMap((key) => move(`controller.metrics.service.${key}`, `metrics.service.${key}`)),
  ...ignore('metrics are on the admin ports, with Services of their own', 'controller.metrics'),
  ...move('controller.metrics.serviceMonitor', 'metrics.serviceMonitor'),
  ...move('controller.metrics.prometheusRule', 'metrics.prometheusRule'),
  ...refuse(
    'The chart has alerts of its own; further ones are an object of extraObjects.',
    'controller.metrics.prometheusRule.rules',
  ),

  ...move('controller.extraArgs.default-ssl-certificate', 'controller.defaultSslCertificate'),
  ...move('controller.extraArgs.default-backend-service', 'controller.defaultBackendService'),
  ...move('controller.extraArgs.watch-ingress-without-class', 'controller.watchIngressWithoutClass'),
  ...move('controller.extraArgs.controller-class', 'controller.adoptControllerClass'),
  ...refuse(
    'Give addresses in controller.statusAddress when ingress-nginx is gone.',
    'controller.extraArgs.publish-status-address',
  ),
  ...ignore('ssl-passthrough needs no flag', 'controller.extraArgs.enable-ssl-passthrough'),
  ...ignore(ownClass, 'controller.extraArgs.ingress-class'),
  ...refuse(
    'It is controller.scope; of classes the name counts then, controller.ingressClassResource.name.',
    'controller.extraArgs.watch-namespace',
  ),
  ...ignore(ownLease, 'controller.extraArgs.election-id'),
  ...ignore('it is controller.logLevel and proxy.logLevel', 'controller.extraArgs.v'),
  ...refuse('The flags of ours are others: `sluice controller --help`, `sluice proxy --help`.', 'controller.extraArgs'),
]);
