import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';
import { Address, Prefix } from '#table/address.ts';
import { isRedirectStatus, type RedirectStatus } from '../translate/options.ts';
import { duration, flag, integer, list, logLevel, objectName, port, text, toggle } from './flag.ts';

/** Every command has these. */
export const commonFlags = {
  logLevel: flag(
    logLevel.default('info'),
    'LEVEL',
    'least severe log line that is written: debug, info, warn, error or silent',
  ),
  logLevelFile: flag(
    text.nullable().default(null),
    'FILE',
    'file of such a word, which goes before --log-level and is followed while the process runs',
  ),
};

const cidr = text.refine((value) => isRange(value), 'must be an address or a range like 10.0.0.0/8');
/** Node binds all addresses of the families that the machine has; `0.0.0.0` would leave IPv6-only clusters out. */
export const everywhere = '';
export const address = text.refine((value) => isIP(value) !== 0, 'must be an IP address');

/** What decides how objects become tables. */
const translateFlags = {
  ingressClass: flag(
    text.default('sluice'),
    'NAME',
    'name of the ingress class (also in the old annotation) that is served',
  ),
  controllerClass: flag(
    text.default('sluice.dev/ingress-controller'),
    'NAME',
    'spec.controller of the IngressClasses that are served',
  ),
  adoptControllerClass: flag(
    list(text).default([]),
    'NAME',
    'further spec.controller values to serve, as k8s.io/ingress-nginx while moving; may be repeated',
  ),
  watchIngressWithoutClass: flag(toggle.default(false), null, 'serve Ingresses that name no class, too'),
  defaultSslCertificate: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'Secret of the certificate for unknown server names (default: a self-signed one)',
  ),
  defaultBackendService: flag(
    text
      .regex(/^[^/]+\/[^/:]+(:[^:]+)?$/, 'must be <namespace>/<name> or <namespace>/<name>:<port>')
      .nullable()
      .default(null),
    'NS/NAME[:PORT]',
    'Service for requests that no rule accepts (default: a 404 page)',
  ),
  configmap: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'ConfigMap of settings for all objects, with the keys of ingress-nginx; it goes before the flags below',
  ),
  tcpServicesConfigmap: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'ConfigMap of TCP ports to open: port → <namespace>/<service>:<port>[:PROXY][:PROXY or :PROXY-V2]',
  ),
  udpServicesConfigmap: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'ConfigMap of UDP ports to open: port → <namespace>/<service>:<port>',
  ),
  trustedProxies: flag(
    list(cidr).default([]),
    'CIDR',
    'peers whose X-Forwarded-* fields are believed; may be repeated',
  ),
  httpRedirectCode: flag(
    integer(301, 308)
      .refine((code) => isRedirectStatus(code), 'must be 301, 302, 303, 307 or 308')
      .transform((code) => code as RedirectStatus)
      .default(308),
    'CODE',
    'status of redirects from http to https: 301, 302, 303, 307 or 308',
  ),
  hsts: flag(
    // It goes into every response as it is: one line, and one that browsers understand.
    text
      .regex(/^max-age=\d+(?:; *[!-:<-~]+)*$/i, 'must be like "max-age=31536000; includeSubDomains"')
      .nullable()
      .default(null),
    'VALUE',
    'Strict-Transport-Security of TLS responses, as "max-age=31536000" (default: none)',
  ),
  publicHttpPort: flag(integer(1, 65_535).default(80), 'PORT', 'port of http that clients see, for X-Forwarded-Port'),
  publicHttpsPort: flag(
    integer(1, 65_535).default(443),
    'PORT',
    'port of https that clients see, for redirects and X-Forwarded-Port',
  ),
};

/** What a process that moves bytes has. */
const fleetFlags = {
  httpPort: flag(port.default(8080), 'PORT', 'port for http; 0: a free one, printed'),
  httpsPort: flag(port.default(8443), 'PORT', 'port for https; 0: a free one, printed'),
  adminPort: flag(
    port.default(10_254),
    'PORT',
    'port of /healthz, /readyz, /metrics, /problems, /tables, /endpoints, /connections; 0: a free one',
  ),
  workers: flag(integer(0, 1_024).default(0), 'N', 'worker processes; 0: one per core'),
  metricsCompat: flag(
    z.enum(['none', 'ingress-nginx'], { error: 'must be none or ingress-nginx' }).default('none'),
    'WHOSE',
    'request metrics beside ours, for dashboards made for another: none or ingress-nginx (nginx_ingress_controller_requests and its kin)',
  ),
  accessLog: flag(text.default('off'), 'WHERE', 'access log: off, stdout or the path of a file'),
  redisUrl: flag(
    text.refine(isRedisUrl, 'must be like redis://host:6379/0, or rediss:// for TLS').nullable().default(null),
    'URL',
    'Redis through which proxies share which endpoint clients have (default: each proxy for itself)',
    { isSecret: true },
  ),
  redisPasswordFile: flag(
    text.nullable().default(null),
    'FILE',
    'password for it, instead of one in the URL; read again for each connection',
  ),
  redisCa: flag(
    text.nullable().default(null),
    'FILE',
    'PEM file of the authorities of a rediss:// server (default: the public ones)',
  ),
  drainDelay: flag(duration.default(0), 'TIME', 'after SIGTERM: serve as before for this long, unready (default: 0s)'),
  drainGrace: flag(
    duration.default(30_000),
    'TIME',
    'then: wait at most this long for requests in flight (default: 30s)',
  ),
};

export const standaloneFlags = {
  manifests: flag(
    text,
    'DIR',
    'folder of manifests (*.yaml, *.yml, *.json), with its sub-folders; read again on every change',
  ),
  ...fleetFlags,
  adminAddress: flag(address.default('127.0.0.1'), 'IP', 'address of the admin port'),
  stateDir: flag(
    text.nullable().default(null),
    'DIR',
    'folder for what must outlive the process: keys and the default certificate',
  ),
  demo: flag(toggle.default(false), null, 'start the demo backends of examples/demo'),
  ...translateFlags,
  publicHttpPort: flag(
    integer(1, 65_535).nullable().default(null),
    'PORT',
    'port of http that clients see (default: the bound one)',
  ),
  publicHttpsPort: flag(
    integer(1, 65_535).nullable().default(null),
    'PORT',
    'port of https that clients see (default: the bound one)',
  ),
  ...commonFlags,
};

/** What a process that follows controllers has. */
export const followFlags = {
  controller: flag(
    list(text.refine(isControllerUrl, 'must be like https://host:port')).refine((urls) => urls.length > 0, 'is needed'),
    'URL',
    'controllers to follow; a name with several addresses stands for all of them; may be repeated',
  ),
  controllerCa: flag(text, 'FILE', 'PEM file of the authority that signs the controllers'),
  tokenFile: flag(text, 'FILE', 'file of the token that proves us to the controllers; read again when it changes'),
};

export const proxyFlags = {
  ...followFlags,
  ...fleetFlags,
  adminAddress: flag(address.default(everywhere), 'IP', 'address of the admin port (default: all)'),
  name: flag(text.default(hostname()), 'NAME', 'name of this proxy, unique among all (default: the host name)'),
  zone: flag(text.nullable().default(null), 'ZONE', 'zone of this proxy, for topology-aware routing'),
  node: flag(text.nullable().default(null), 'NODE', 'node of this proxy, for topology-aware routing and status'),
  stateDir: flag(
    text.nullable().default(null),
    'DIR',
    'folder of the last good tables, used when no controller answers',
  ),
  stateKeyFile: flag(
    text.nullable().default(null),
    'FILE',
    'key of the secrets in --state-dir: base64 of 32 bytes (default: a file in that folder)',
  ),
  ...commonFlags,
};

export const controllerFlags = {
  kubeconfig: flag(text.nullable().default(null), 'FILE', 'kubeconfig (default: the pod, else what kubectl would use)'),
  context: flag(text.nullable().default(null), 'NAME', 'context of the kubeconfig'),
  namespace: flag(list(text).default([]), 'NAME', 'watch only this namespace; may be repeated (default: all)'),
  ...translateFlags,
  publishPort: flag(port.default(9443), 'PORT', 'port of the table stream that proxies follow; 0: a free one, logged'),
  publishBindAddress: flag(address.default(everywhere), 'IP', 'address of the table stream (default: all)'),
  tokenFile: flag(
    text.nullable().default(null),
    'FILE',
    'shared secret that proxies and edges may show; read again for each request',
  ),
  proxyServiceAccount: flag(
    list(objectName).default([]),
    'NS/NAME',
    'service accounts whose tokens (audience "sluice") proxies may show; may be repeated',
  ),
  edge: flag(
    toggle.default(false),
    null,
    'give addresses to Services of type LoadBalancer, and tell the edges of the nodes what to forward and announce',
  ),
  loadBalancerClass: flag(
    text.default('sluice.dev/edge'),
    'NAME',
    'with --edge: spec.loadBalancerClass of the Services that get addresses',
  ),
  watchServiceWithoutClass: flag(
    toggle.default(false),
    null,
    'with --edge: give addresses to Services of type LoadBalancer that name no class, too',
  ),
  edgeServiceAccount: flag(
    list(objectName).default([]),
    'NS/NAME',
    'service accounts whose tokens (audience "sluice") edges may show; may be repeated',
  ),
  stateDir: flag(
    text.nullable().default(null),
    'DIR',
    'keep the authority and keys in this folder, with ca.crt for proxies (default: in a Secret)',
  ),
  webhookPort: flag(
    port.nullable().default(null),
    'PORT',
    'port of the admission webhook (POST /validate); 0: a free one, logged (default: there is none)',
  ),
  webhookService: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'Service by which the API server reaches the webhook: its certificate is for that name',
  ),
  webhookConfiguration: flag(
    text.nullable().default(null),
    'NAME',
    'ValidatingWebhookConfiguration that the leader keeps the authority of the webhook in (caBundle)',
  ),
  controllerNamespace: flag(
    text.nullable().default(null),
    'NAME',
    'namespace of our own Lease and Secrets (default: that of the pod or context)',
  ),
  leaderElectionId: flag(text.default('sluice-controller'), 'NAME', 'name of the Lease'),
  publishService: flag(
    objectName.nullable().default(null),
    'NS/NAME',
    'Service whose addresses go to the status of Ingresses',
  ),
  publishAddress: flag(
    list(text.refine(isAddressOrName, 'must be an IP address or a DNS name')).default([]),
    'ADDRESS',
    'addresses or names for the status of Ingresses instead; may be repeated',
  ),
  adminPort: flag(
    port.default(10_254),
    'PORT',
    'port of /healthz, /readyz, /metrics, /problems, /addresses, /proxies and /edges, with the pages of each below; 0: a free one',
  ),
  adminAddress: flag(address.default(everywhere), 'IP', 'address of the admin port (default: all)'),
  ...commonFlags,
};

export const checkFlags = {
  controller: flag(text.refine(isPlainUrl, 'must be like http://host:port'), 'URL', 'admin port of the controllers'),
  url: flag(
    list(
      text.refine((value) => /^https?:$/.test(URL.parse(value)?.protocol ?? ''), 'must be an http or https URL'),
    ).default([]),
    'URL',
    'where proxies answer, for a host that nobody has; may be repeated',
  ),
  status: flag(integer(100, 599).nullable().default(null), 'CODE', 'what they answer (default: anything below 500)'),
  proxyHeader: flag(toggle.default(false), null, 'begin each connection with the PROXY header that proxies demand'),
  timeout: flag(duration.default(30_000), 'TIME', 'how long what is not well yet may take (default: 30s)'),
};

function isRange(value: string): boolean {
  return Prefix.safeParse(value).success || Address.safeParse(value).success;
}

/** What an API server takes as the address of a load balancer. */
function isAddressOrName(value: string): boolean {
  return (
    isIP(value) !== 0 ||
    (value.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(value))
  );
}

function isRedisUrl(value: string): boolean {
  const url = URL.parse(value);
  const isRedis = url?.protocol === 'redis:' || url?.protocol === 'rediss:';
  return isRedis && url.hostname !== '' && /^(\/\d{0,5})?$/.test(url.pathname) && url.search === '' && url.hash === '';
}

function isControllerUrl(value: string): boolean {
  const url = URL.parse(value);
  return url?.protocol === 'https:' && url.pathname === '/' && url.search === '';
}

function isPlainUrl(value: string): boolean {
  const url = URL.parse(value);
  return url?.protocol === 'http:' && url.pathname === '/' && url.search === '';
}
