/** Names that people still carry and that do nothing in ingress-nginx either, with what to do instead. */
const advices: readonly { advice: string; names: readonly string[] }[] = [
  { advice: 'Use backend-protocol: HTTPS.', names: ['secure-backends', 'secure-verify-ca-secret'] },
  { advice: 'Use backend-protocol: GRPC.', names: ['grpc-backend'] },
  { advice: 'Remove it; the cookie is keyed and its hash is not chosen.', names: ['session-cookie-hash'] },
  { advice: 'Remove it; let the application make its own links.', names: ['add-base-url', 'base-url-scheme'] },
  { advice: 'Use limit-rps or limit-rpm.', names: ['rate-limit'] },
  { advice: 'Remove it; WebSockets need no switch.', names: ['enable-websockets'] },
  {
    advice: 'Remove it; this is a setting of the gateway, not of an Ingress.',
    names: [
      'use-forwarded-headers',
      'client-header-buffer-size',
      'large-client-header-buffers',
      'client-body-timeout',
      'upstream-keepalive-connections',
      'upstream-keepalive-time',
      'upstream-keepalive-timeout',
      'upstream-keepalive-requests',
      'upstream-max-fails',
      'upstream-fail-timeout',
      'enable-influxdb',
      'influxdb-measurement',
      'influxdb-port',
      'influxdb-host',
      'influxdb-server-name',
      'enable-opentracing',
      'opentracing-trust-incoming-span',
    ],
  },
  {
    advice: 'Remove it; it was taken out of ingress-nginx 1.12.',
    names: [
      'global-rate-limit',
      'global-rate-limit-window',
      'global-rate-limit-key',
      'global-rate-limit-ignored-cidrs',
    ],
  },
];

const adviceByName: ReadonlyMap<string, string> = new Map(
  advices.flatMap(({ advice, names }) => names.map((name) => [name, advice] as const)),
);

/** Prefixes of other controllers, which people mix up with ingress-nginx's. */
const foreignPrefixes: readonly (readonly [string, string])[] = [
  ['ingress.kubernetes.io/', 'This prefix went out of use in 2018; write nginx.ingress.kubernetes.io/ or sluice.dev/.'],
  ['nginx.org/', "This prefix belongs to F5's controller; write nginx.ingress.kubernetes.io/ or sluice.dev/."],
];

/** Advice for a name under one of our prefixes that has no effect anywhere any more; undefined when it is not such a name. */
export function obsoleteAdvice(name: string): string | undefined {
  return adviceByName.get(name) ?? (name.startsWith('lua-resty-waf') ? 'Remove it; the firewall is gone.' : undefined);
}

/** Advice for a full annotation key of another controller's prefix. */
export function foreignAdvice(key: string): string | undefined {
  return foreignPrefixes.find(([prefix]) => key.startsWith(prefix))?.[1];
}

export const obsoleteNames: readonly string[] = [...adviceByName.keys()].sort();
