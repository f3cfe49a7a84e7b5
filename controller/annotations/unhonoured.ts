import { parseBoolean } from './values.ts';

/** An ingress-nginx annotation that is known and not honoured yet. */
export interface Unhonoured {
  /** What to do about it; shown as hint. */
  advice: string;
  /**
   * true when serving without it would open what its author closed: then the Ingress answers 503. ingress-nginx fails open
   * in some of these cases (a bad auth-cache-duration drops auth altogether); that is not copied.
   */
  denies(value: string): boolean;
  /** true: it protects the whole host, so the paths of others are closed, too, on hosts that belong to its namespace. */
  isHostWide: boolean;
  /** true: it asks who the client is. Paths that the operator exempts from that stay open. */
  isAuthentication: boolean;
}

/** It may hold deny rules for the whole host. */
const hostWide: readonly string[] = ['server-snippet'];

const never = (): boolean => false;
const always = (): boolean => true;
const unlessEmpty = (value: string): boolean => value.trim() !== '';
const unlessFalse = (value: string): boolean => unlessEmpty(value) && parseBoolean(value) !== false;

const groups: readonly {
  advice: string;
  denies: (value: string) => boolean;
  isAuthentication?: true;
  names: readonly string[];
}[] = [
  {
    advice:
      'Remove the authentication annotations only if the paths may be open, else put the authentication into the backend.',
    denies: always,
    isAuthentication: true,
    names: [
      'auth-type',
      'auth-secret',
      'auth-secret-type',
      'auth-realm',
      'auth-url',
      'auth-method',
      'auth-signin',
      'auth-signin-redirect-param',
      'auth-response-headers',
      'auth-request-redirect',
      'auth-proxy-set-headers',
      'auth-always-set-cookie',
      'auth-cache-key',
      'auth-cache-duration',
      'auth-keepalive',
      'auth-keepalive-share-vars',
      'auth-keepalive-requests',
      'auth-keepalive-timeout',
      'auth-snippet',
    ],
  },
  {
    advice: 'Remove it; it only chooses among protections that are not honoured yet.',
    // All of them have to be satisfied without it, too.
    denies: (value) => unlessEmpty(value) && value.trim() !== 'all',
    isAuthentication: true,
    names: ['satisfy'],
  },
  {
    advice: 'Put the web application firewall in front of the gateway or into the backend, then remove the annotation.',
    denies: unlessFalse,
    names: ['enable-modsecurity', 'enable-owasp-core-rules'],
  },
  {
    advice: 'Put the web application firewall in front of the gateway or into the backend, then remove the annotation.',
    denies: unlessEmpty,
    names: ['modsecurity-snippet'],
  },
  { advice: 'Remove it; there is no ModSecurity to hand it to.', denies: never, names: ['modsecurity-transaction-id'] },
  {
    advice: 'Express what the snippet does by annotations; nginx text may hold deny rules, so it is never skipped.',
    denies: unlessEmpty,
    names: ['configuration-snippet', 'server-snippet', 'stream-snippet'],
  },
  {
    advice: 'Of the suites that both sides know, the one that the gateway likes best is always taken.',
    denies: never,
    names: ['ssl-prefer-server-ciphers'],
  },
  {
    advice: 'The Ingress is left out, so the main Ingress gets all traffic; delete it or wait for canary support.',
    denies: never,
    names: ['canary'],
  },
  {
    advice: 'It takes effect together with canary, which is not honoured yet.',
    denies: never,
    names: [
      'canary-by-header',
      'canary-by-header-value',
      'canary-by-header-pattern',
      'canary-by-cookie',
      'canary-weight',
      'canary-weight-total',
      'affinity-canary-behavior',
    ],
  },
  {
    advice: 'Redirects to https drop one trailing slash of the path; link to the https address where it matters.',
    denies: never,
    names: ['preserve-trailing-slash'],
  },
  { advice: 'Write a rule for each further name.', denies: never, names: ['server-alias'] },
  {
    advice: 'Let the backend answer with the redirect for now.',
    denies: never,
    names: [
      'from-to-www-redirect',
      'permanent-redirect',
      'permanent-redirect-code',
      'temporal-redirect',
      'temporal-redirect-code',
      'relative-redirects',
      'use-port-in-redirects',
    ],
  },
  {
    advice:
      'Responses of the backend are passed as they are; the gateway makes its own page only for its own failures.',
    denies: never,
    names: ['default-backend', 'custom-http-errors', 'disable-proxy-intercept-errors'],
  },
  {
    advice: 'FastCGI is not spoken; put a web server in front of it.',
    denies: never,
    names: ['fastcgi-index', 'fastcgi-params-configmap'],
  },
  {
    advice: 'Bodies are streamed with back-pressure both ways, so there is nothing to tune; the annotation can go.',
    denies: never,
    names: [
      'client-body-buffer-size',
      'proxy-buffering',
      'proxy-request-buffering',
      'proxy-buffers-number',
      'proxy-buffer-size',
      'proxy-busy-buffers-size',
      'proxy-max-temp-file-size',
    ],
  },
  {
    advice: 'Backends are spoken to with HTTP/1.1 and kept alive.',
    denies: never,
    names: ['proxy-http-version', 'connection-proxy-header'],
  },
  {
    advice: 'Let the backend send the right headers for now.',
    denies: never,
    names: [
      'proxy-cookie-domain',
      'proxy-cookie-path',
      'proxy-redirect-from',
      'proxy-redirect-to',
      'custom-headers',
      'enable-cors',
      'cors-allow-origin',
      'cors-allow-methods',
      'cors-allow-headers',
      'cors-allow-credentials',
      'cors-expose-headers',
      'cors-max-age',
    ],
  },
  {
    advice: 'Limit in front of the gateway or in the backend for now.',
    denies: never,
    names: [
      'limit-connections',
      'limit-rps',
      'limit-rpm',
      'limit-burst-multiplier',
      'limit-allowlist',
      'limit-whitelist',
      'limit-rate',
      'limit-rate-after',
    ],
  },
  {
    advice: 'There is no authentication for all Ingresses that could be turned off here.',
    denies: never,
    names: ['enable-global-auth'],
  },
  {
    advice: 'Logs are set for the whole gateway, and spans are called by method and path of their route.',
    denies: never,
    names: ['enable-access-log', 'enable-rewrite-log', 'opentelemetry-operation-name'],
  },
  {
    advice: 'Mirror inside the cluster for now.',
    denies: never,
    names: ['mirror-target', 'mirror-request-body', 'mirror-host'],
  },
  { advice: 'HTTP/2 push is gone from browsers; remove the annotation.', denies: never, names: ['http2-push-preload'] },
];

/** By name without prefix. */
export const unhonoured: ReadonlyMap<string, Unhonoured> = new Map(
  groups.flatMap(({ advice, denies, isAuthentication = false, names }) =>
    names.map((name) => [name, { advice, denies, isAuthentication, isHostWide: hostWide.includes(name) }] as const),
  ),
);

/** Switches that are on without the annotation, too. */
const onAnyway: ReadonlySet<string> = new Set([
  'enable-access-log',
  'enable-global-auth',
  'mirror-request-body',
  'ssl-prefer-server-ciphers',
]);

/** Switches that are off without the annotation, too. */
const offAnyway: ReadonlySet<string> = new Set([
  'canary',
  'disable-proxy-intercept-errors',
  'enable-cors',
  'enable-global-auth',
  'enable-rewrite-log',
  'from-to-www-redirect',
  'preserve-trailing-slash',
  'http2-push-preload',
  'proxy-buffering',
  'proxy-cookie-domain',
  'proxy-cookie-path',
  'proxy-redirect-from',
  'proxy-redirect-to',
  'proxy-request-buffering',
  'relative-redirects',
  'use-port-in-redirects',
]);

/** Other values that say what holds without the annotation, too. */
const anyway: Readonly<Record<string, string>> = {
  'connection-proxy-header': 'keep-alive',
  'limit-connections': '0',
  'limit-rate': '0',
  'limit-rate-after': '0',
  'limit-rpm': '0',
  'limit-rps': '0',
  'proxy-http-version': '1.1',
  'proxy-max-temp-file-size': '0',
};

/**
 * Values that ask for what holds anyway, so that no wish goes unheard; an empty one, as charts write it for what is not set, is
 * none in ingress-nginx either.
 * @param name of one that is known and does not deny
 */
export function isHarmless(name: string, value: string): boolean {
  // What denies with some values alone asks for nothing with the others.
  if (unhonoured.get(name)?.denies !== never) return true;
  const word = value.trim();
  if (word === '' || anyway[name] === word) return true;
  if (onAnyway.has(name) && (parseBoolean(value) === true || word === 'on')) return true;
  return offAnyway.has(name) && (parseBoolean(value) === false || word === 'off');
}
