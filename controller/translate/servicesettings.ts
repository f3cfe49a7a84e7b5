import type { Affinity, Backend, Balance } from '#table/backend.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Probe } from '#table/resilience.ts';
import { cookieAttributes } from '../annotations/affinity.ts';
import { circuitFamily } from '../annotations/circuit.ts';
import { healthFamily } from '../annotations/health.ts';
import { outlierFamily } from '../annotations/outlier.ts';
import type { AnnotationName } from '../annotations/registry.ts';
import type { Draft } from './draft.ts';
import type { TranslateOptions } from './options.ts';
import { problem } from './problems.ts';

/** What the Ingresses on one Service port decide for all of them. */
export interface ServiceSettings {
  balance: Balance;
  slowStartMs: number;
  healthCheck: Backend['healthCheck'];
  outlier: Backend['outlier'];
  panicPercent: Backend['panicPercent'];
  circuit: Backend['circuit'];
  /** A hash is a form of affinity: the Service's own sessionAffinity then gives way. */
  isHashed: boolean;
  usesClusterIp: boolean;
  /** For faces that are sticky; null when none is. */
  cookie: Affinity | null;
  problems: Problem[];
}

/**
 * Settles the annotations of service scope as ingress-nginx does: the oldest Ingress on the port decides, whether it says
 * something or not; type and mode of affinity are those of the oldest that sets it, cookie attributes those of the youngest.
 * @param drafts of the Ingresses that use the port, oldest first
 */
export function settleService(drafts: readonly Draft[], portKey: string, options: TranslateOptions): ServiceSettings {
  const problems: Problem[] = [];
  const oldest = drafts[0];
  const settings = oldest?.annotations.settings ?? {};
  const sticky = drafts.filter((draft) => draft.face.isSticky);
  const firstSticky = sticky[0];
  const lastSticky = sticky.at(-1);

  const overrule = (loser: Draft, winner: Draft, age: string, names: readonly AnnotationName[]): void => {
    for (const name of names) {
      const annotation = loser.annotations.keys[name];
      const mine = JSON.stringify(loser.annotations.settings[name]);
      if (annotation === undefined || mine === JSON.stringify(winner.annotations.settings[name])) continue;
      const values = { annotation, subject: portKey, winner: winner.key, age };
      problems.push(
        problem('AnnotationOverruled', { ...loser.source, field: `metadata.annotations[${annotation}]` }, values),
      );
    }
  };
  for (const draft of drafts) {
    if (oldest !== undefined && draft !== oldest) overrule(draft, oldest, 'older', decidedByOldest);
  }
  for (const draft of sticky) {
    if (firstSticky !== undefined && draft !== firstSticky) overrule(draft, firstSticky, 'older', ['affinity-mode']);
    if (lastSticky !== undefined && draft !== lastSticky) overrule(draft, lastSticky, 'younger', cookieAttributes);
  }
  if (lastSticky !== undefined) problems.push(...forgotten(lastSticky));

  return {
    balance: balanceOf(settings, options),
    slowStartMs: settings['slow-start'] ?? 0,
    healthCheck: healthCheckOf(settings),
    outlier: outlierOf(settings, options),
    panicPercent: settings['panic-threshold'] ?? options.panicPercent,
    circuit: {
      connections: settings['max-connections'] ?? options.circuit.connections,
      pending: settings['max-pending-requests'] ?? options.circuit.pending,
      requests: settings['max-requests'] ?? options.circuit.requests,
      retries: settings['max-retries'] ?? options.circuit.retries,
    },
    isHashed: (settings['upstream-hash-by'] ?? []).length > 0,
    usesClusterIp: settings['service-upstream'] ?? options.usesClusterIp,
    cookie: firstSticky === undefined || lastSticky === undefined ? null : cookieOf(firstSticky, lastSticky),
    problems,
  };
}

const decidedByOldest: readonly AnnotationName[] = [
  'load-balance',
  'upstream-hash-by',
  'upstream-hash-by-subset',
  'upstream-hash-by-subset-size',
  'service-upstream',
  ...(Object.keys(healthFamily) as (keyof typeof healthFamily)[]),
  ...(Object.keys(outlierFamily) as (keyof typeof outlierFamily)[]),
  ...(Object.keys(circuitFamily) as (keyof typeof circuitFamily)[]),
];

function balanceOf(settings: Draft['annotations']['settings'], options: TranslateOptions): Balance {
  const parts = settings['upstream-hash-by'];
  if (parts !== undefined && parts.length > 0) {
    const isSubset = settings['upstream-hash-by-subset'] ?? false;
    return {
      algorithm: 'ring-hash',
      parts,
      subsetSize: isSubset ? (settings['upstream-hash-by-subset-size'] ?? 3) : 0,
    };
  }
  switch (settings['load-balance']) {
    case undefined:
      return options.balance;
    case 'ewma':
      return { algorithm: 'ewma' };
    case 'least_request':
      return { algorithm: 'least-request' };
    default:
      return { algorithm: 'round-robin' };
  }
}

function healthCheckOf(settings: Draft['annotations']['settings']): Backend['healthCheck'] {
  const probe = probeOf(settings);
  if (probe === null) return null;
  return {
    probe,
    intervalMs: settings['health-check-interval'] ?? 10_000,
    timeoutMs: settings['health-check-timeout'] ?? 2000,
    unhealthyAfter: settings['health-check-unhealthy-threshold'] ?? 3,
    healthyAfter: settings['health-check-healthy-threshold'] ?? 2,
  };
}

function probeOf(settings: Draft['annotations']['settings']): Probe | null {
  const path = settings['health-check-path'];
  const host = settings['health-check-host'] ?? null;
  switch (settings['health-check-type'] ?? (path === undefined ? undefined : 'http')) {
    case 'http':
      return {
        type: 'http',
        method: settings['health-check-method'] ?? 'GET',
        path: path ?? '/',
        host,
        expectedStatuses: settings['health-check-expected-statuses'] ?? [[200, 399]],
      };
    case 'tcp':
      return { type: 'tcp' };
    case 'grpc':
      return { type: 'grpc', service: settings['health-check-grpc-service'] ?? '', host };
    default:
      return null;
  }
}

function outlierOf(settings: Draft['annotations']['settings'], options: TranslateOptions): Backend['outlier'] {
  const usual = options.outlier;
  const deviations = settings['outlier-success-rate-deviations'];
  const baseEjectionMs = settings['outlier-base-ejection-time'] ?? usual.baseEjectionMs;
  return {
    consecutiveServerErrors: settings['outlier-consecutive-5xx'] ?? usual.consecutiveServerErrors,
    consecutiveGatewayErrors: settings['outlier-consecutive-gateway-errors'] ?? usual.consecutiveGatewayErrors,
    consecutiveLocalFailures: settings['outlier-consecutive-local-failures'] ?? usual.consecutiveLocalFailures,
    successRate:
      deviations === undefined
        ? usual.successRate
        : {
            intervalMs: settings['outlier-interval'] ?? 10_000,
            minRequests: settings['outlier-success-rate-request-volume'] ?? 100,
            minEndpoints: settings['outlier-success-rate-minimum-hosts'] ?? 5,
            deviations,
          },
    baseEjectionMs,
    maxEjectionMs: settings['outlier-max-ejection-time'] ?? Math.max(baseEjectionMs, usual.maxEjectionMs),
    maxEjectedPercent: settings['outlier-max-ejection-percent'] ?? usual.maxEjectedPercent,
  };
}

/** Some write 0 for a cookie without an end. It is sent as it stands, as by ingress-nginx, and nobody would be kept anywhere in silence. */
function forgotten({ annotations, source }: Draft): Problem[] {
  const { settings, keys } = annotations;
  // Max-Age goes before Expires (RFC 6265 §5.3).
  const lifetime =
    settings['session-cookie-max-age'] === undefined ? 'session-cookie-expires' : 'session-cookie-max-age';
  const annotation = keys.affinity;
  if (settings[lifetime] !== 0 || annotation === undefined) return [];
  const reason = `${lifetime} is 0, at which clients forget the cookie at once (without it they keep it while they run)`;
  const at: Source = { ...source, field: `metadata.annotations[${annotation}]` };
  return [problem('AnnotationWithoutEffect', at, { annotation, reason })];
}

function cookieOf(first: Draft, last: Draft): Affinity {
  const { settings } = last.annotations;
  return {
    type: 'cookie',
    name: settings['session-cookie-name'] ?? 'INGRESSCOOKIE',
    mode: first.annotations.settings['affinity-mode'] ?? 'balanced',
    path: settings['session-cookie-path'] ?? null,
    domain: settings['session-cookie-domain'] ?? null,
    maxAgeSeconds: settings['session-cookie-max-age'] ?? null,
    expiresSeconds: settings['session-cookie-expires'] ?? null,
    sameSite: settings['session-cookie-samesite'] ?? null,
    // false is the same as absent in ingress-nginx: the cookie is Secure on TLS either way.
    secure: settings['session-cookie-secure'] === true ? true : null,
    conditionalSameSiteNone: settings['session-cookie-conditional-samesite-none'] ?? false,
    changeOnFailure: settings['session-cookie-change-on-failure'] ?? false,
  };
}
