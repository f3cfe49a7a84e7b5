import type { Balance } from '#table/backend.ts';
import type { TranslateOptions } from '../translate/options.ts';
import { retryOf, timeoutsOf } from '../translate/waits.ts';
import { compressionOf } from './compression.ts';
import type { ConfigSettings } from './registry.ts';
import { tracingOf } from './tracing.ts';

/**
 * Puts what the ConfigMap says over what the command line says. Annotations are put over both where rows are made, so that
 * an annotation goes before the ConfigMap, that before a flag, and that before the default.
 */
export function withConfigMap(options: TranslateOptions, settings: ConfigSettings): TranslateOptions {
  const { http, https } = options.listeners;
  const trustedProxies = trustedOf(settings, http.trustedProxies);
  return {
    ...options,
    sslRedirect: settings['ssl-redirect'] ?? options.sslRedirect,
    forceSslRedirect: settings['force-ssl-redirect'] ?? options.forceSslRedirect,
    httpRedirectStatus: settings['http-redirect-code'] ?? options.httpRedirectStatus,
    noTlsRedirectPrefixes: settings['no-tls-redirect-locations'] ?? options.noTlsRedirectPrefixes,
    noAuthPrefixes: settings['no-auth-locations'] ?? options.noAuthPrefixes,
    listeners: {
      http: { ...http, trustedProxies },
      https: {
        ...https,
        trustedProxies,
        hsts: hstsOf(settings, https.hsts),
        tls: tlsOf(settings, https.tls),
      },
    },
    sources: sourcesOf(settings, options.sources),
    usesProxyProtocol: settings['use-proxy-protocol'] ?? options.usesProxyProtocol,
    proxyProtocol: {
      sources: settings['proxy-real-ip-cidr'] ?? options.proxyProtocol.sources,
      timeoutMs: settings['proxy-protocol-header-timeout'] ?? options.proxyProtocol.timeoutMs,
    },
    flows: flowsOf(settings, options.flows),
    clients: clientsOf(settings, options.clients),
    keepAlive: keepAliveOf(settings, options.keepAlive),
    timeouts: timeoutsOf(settings, options.timeouts),
    retry: retryOf(settings, options.retry),
    repeatsUnsafe: settings['retry-non-idempotent'] ?? options.repeatsUnsafe,
    bodyLimit: bodyLimitOf(settings['proxy-body-size'], options.bodyLimit),
    http2: settings['use-http2'] ?? options.http2,
    compression: compressionOf(settings) ?? options.compression,
    tracing: tracingOf(settings) ?? options.tracing,
    balance: balances[settings['load-balance'] ?? ''] ?? options.balance,
    allowsOtherNamespaces: settings['allow-cross-namespace-resources'] ?? options.allowsOtherNamespaces,
    usesClusterIp: settings['service-upstream'] ?? options.usesClusterIp,
  };
}

function sourcesOf(settings: ConfigSettings, usual: TranslateOptions['sources']): TranslateOptions['sources'] {
  const allow = settings['whitelist-source-range'] ?? usual.allow;
  return { deny: settings['denylist-source-range'] ?? usual.deny, allow: allow === 'everybody' ? null : allow };
}

function clientsOf(settings: ConfigSettings, usual: TranslateOptions['clients']): TranslateOptions['clients'] {
  const idleMs = settings['keep-alive'] ?? usual.idleMs;
  return {
    idleMs: idleMs === 0 ? null : idleMs,
    headMs: settings['client-header-timeout'] ?? usual.headMs,
    bodyIdleMs: settings['client-body-timeout'] ?? usual.bodyIdleMs,
    // In nginx, no time between two requests means that there is no second one.
    requests: idleMs === 0 ? 1 : (settings['keep-alive-requests'] ?? usual.requests),
    streams: settings['http2-max-concurrent-streams'] ?? usual.streams,
  };
}

function flowsOf(settings: ConfigSettings, usual: TranslateOptions['flows']): TranslateOptions['flows'] {
  const isTriedAgain = settings['proxy-stream-next-upstream'] ?? true;
  return {
    tcpIdleMs: settings['proxy-stream-timeout'] ?? usual.tcpIdleMs,
    udpIdleMs: settings['proxy-stream-timeout'] ?? usual.udpIdleMs,
    retry: {
      attempts: isTriedAgain ? (settings['proxy-stream-next-upstream-tries'] ?? usual.retry.attempts) : 1,
      withinMs: settings['proxy-stream-next-upstream-timeout'] ?? usual.retry.withinMs,
    },
    responses: settings['proxy-stream-responses'] ?? usual.responses,
    clients: {
      most: settings['max-udp-flows'] ?? usual.clients.most,
      mostPerSource: settings['max-udp-flows-per-source'] ?? usual.clients.mostPerSource,
    },
  };
}

function keepAliveOf(settings: ConfigSettings, usual: TranslateOptions['keepAlive']): TranslateOptions['keepAlive'] {
  return {
    connections: settings['upstream-keepalive-connections'] ?? usual.connections,
    requests: settings['upstream-keepalive-requests'] ?? usual.requests,
    idleMs: settings['upstream-keepalive-timeout'] ?? usual.idleMs,
    lifetimeMs: settings['upstream-keepalive-time'] ?? usual.lifetimeMs,
  };
}

function tlsOf(settings: ConfigSettings, usual: ServerSettings): ServerSettings {
  const protocols = settings['ssl-protocols'];
  const seconds = settings['ssl-session-timeout'] ?? usual.sessionSeconds;
  return {
    minVersion: protocols?.min ?? usual.minVersion,
    maxVersion: protocols?.max ?? usual.maxVersion,
    ciphers: settings['ssl-ciphers'] ?? usual.ciphers,
    groups: settings['ssl-ecdh-curve'] ?? usual.groups,
    sessionSeconds: settings['ssl-session-tickets'] === false ? 0 : seconds,
  };
}

type ServerSettings = TranslateOptions['listeners']['https']['tls'];

function trustedOf(settings: ConfigSettings, usual: string[]): string[] {
  const isUsed = settings['use-forwarded-headers'];
  if (isUsed === undefined) return usual;
  if (!isUsed) return [];
  return settings['proxy-real-ip-cidr'] ?? (usual.length > 0 ? usual : everybody);
}

/** What ingress-nginx trusts where nobody is named; an outer load balancer's addresses are seldom known. */
const everybody = ['0.0.0.0/0', '::/0'];

function hstsOf(settings: ConfigSettings, usual: string | null): string | null {
  const parts = [settings['hsts-max-age'], settings['hsts-include-subdomains'], settings['hsts-preload']];
  const isOn = settings.hsts ?? (parts.some((part) => part !== undefined) ? true : null);
  if (isOn === null) return usual;
  if (!isOn) return null;
  const [maxAge = 31_536_000, hasSubdomains = true, isPreloaded = false] = parts;
  return `max-age=${maxAge}${hasSubdomains ? '; includeSubDomains' : ''}${isPreloaded ? '; preload' : ''}`;
}

function bodyLimitOf(bytes: number | undefined, usual: number | null): number | null {
  if (bytes === undefined) return usual;
  return bytes === 0 ? null : bytes;
}

const balances: Readonly<Record<string, Balance>> = {
  round_robin: { algorithm: 'round-robin' },
  least_request: { algorithm: 'least-request' },
  ewma: { algorithm: 'ewma' },
};
