import type { Backend } from '#table/backend.ts';
import type { L4Route } from '#table/l4route.ts';
import type { Listener } from '#table/listener.ts';
import type { Problem, Source } from '#table/problem.ts';
import type { Route } from '#table/route.ts';
import type { Row, RowRef } from '#table/rows.ts';
import type { ServerTls } from '#table/servertls.ts';
import type { SourceRanges } from '#table/sources.ts';
import type { ObjectKey } from '../watch/view.ts';

export type RedirectStatus = 301 | 302 | 303 | 307 | 308;

/** Statuses that send a client elsewhere with its request (RFC 9110 §15.4). */
export function isRedirectStatus(code: number): code is RedirectStatus {
  return [301, 302, 303, 307, 308].includes(code);
}

/** What the operator decides for all objects. Everything an object may say for itself is an annotation instead. */
export interface TranslateOptions {
  /** Name of our class: value of the old `kubernetes.io/ingress.class` annotation, and of ingressClassName. */
  ingressClass: string;
  /** `spec.controller` of the IngressClasses that we serve. */
  controllerName: string;
  /** Controllers whose IngressClasses are served, too (`k8s.io/ingress-nginx` while moving). */
  adoptedControllerNames: readonly string[];
  /** Serve Ingresses that name no class at all. */
  servesClassless: boolean;
  listeners: {
    http: Pick<Listener, 'port' | 'addresses' | 'publicPort' | 'trustedProxies'>;
    https: Pick<Listener, 'port' | 'addresses' | 'publicPort' | 'trustedProxies' | 'hsts'> & {
      tls: Omit<ServerTls, 'defaultCertificateId'>;
    };
  };
  /** Certificate row (not ours to make) for unknown names and for hosts without a usable Secret; null: refuse them. */
  defaultCertificateId: string | null;
  /** `namespace/name` of a Secret that takes the place of defaultCertificateId while it is usable. */
  defaultCertificateSecret: ObjectKey | null;
  /** `namespace/name` or `namespace/name:port` (number or name; else the first port) for requests that no rule accepts. */
  defaultBackendService: string | null;
  /** `namespace/name` of the ConfigMap that is put over these options; null: none. */
  configMap: ObjectKey | null;
  /** `namespace/name` of the ConfigMaps of ports that go to Services unread; null: none. */
  tcpServices: ObjectKey | null;
  udpServices: ObjectKey | null;
  /** Clients of http and https begin with a PROXY header. */
  usesProxyProtocol: boolean;
  /** Of every listener whose clients begin so. */
  proxyProtocol: NonNullable<Listener['proxyProtocol']>;
  /** Of what is carried unread. */
  flows: {
    tcpIdleMs: number;
    udpIdleMs: number;
    retry: L4Route['retry'];
    responses: L4Route['responses'];
    clients: L4Route['clients'];
  };
  /** Of clients, where no annotation says who may come. */
  sources: SourceRanges;
  /** Key of the ConfigMap that protects every host and is not honoured: all answer 503. null: open. */
  closedBy: Source | null;
  /** Redirect to https where a TLS section covers the host. */
  sslRedirect: boolean;
  /** Redirect to https on every host. */
  forceSslRedirect: boolean;
  /** Of all responses that no annotation decides about; null: none is compressed. */
  compression: Listener['compression'];
  /** Spans of requests; null: trace context passes through. */
  tracing: Listener['tracing'];
  http2: boolean;
  /** Of http → https redirects. */
  httpRedirectStatus: RedirectStatus;
  /** Paths never redirected to https: HTTP-01 challenges must be answered on port 80. */
  noTlsRedirectPrefixes: readonly string[];
  /** Paths below these need no authentication, nor are they closed for want of it: those of HTTP-01 challenges. */
  noAuthPrefixes: readonly string[];
  /** Annotations may name Secrets of other namespaces. */
  allowsOtherNamespaces: boolean;
  /** Only where manifests are files: an API server refuses such addresses. */
  allowsLoopbackEndpoints: boolean;
  /** Forward to the cluster IP of a Service instead of its endpoints. */
  usesClusterIp: boolean;
  /** Of the clients of every listener. */
  clients: Listener['clients'];
  /** Of the connections to every backend. */
  keepAlive: Backend['keepAlive'];
  /** tunnelMs null: as long as readMs. */
  timeouts: Omit<Route['timeouts'], 'tunnelMs'> & { tunnelMs: number | null };
  /** Bytes; null: no limit. */
  bodyLimit: number | null;
  retry: Route['retry'];
  /** Repeat requests whose method is not idempotent, whatever an object says. */
  repeatsUnsafe: boolean;
  balance: Backend['balance'];
  outlier: Backend['outlier'];
  panicPercent: Backend['panicPercent'];
  circuit: Backend['circuit'];
}

/** No limit of its own. */
export const everyClient: L4Route['clients'] = { most: null, mostPerSource: null };

/** ingress-nginx's defaults where it has them, so that a moved object behaves as before. */
export const defaultTranslateOptions: TranslateOptions = {
  ingressClass: 'sluice',
  controllerName: 'sluice.dev/ingress-controller',
  adoptedControllerNames: [],
  servesClassless: false,
  listeners: {
    http: { port: 8080, addresses: [], publicPort: null, trustedProxies: [] },
    https: {
      port: 8443,
      addresses: [],
      publicPort: null,
      trustedProxies: [],
      hsts: null,
      tls: { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3', ciphers: null, groups: null, sessionSeconds: 600 },
    },
  },
  defaultCertificateId: null,
  defaultCertificateSecret: null,
  defaultBackendService: null,
  configMap: null,
  tcpServices: null,
  udpServices: null,
  usesProxyProtocol: false,
  proxyProtocol: { sources: ['0.0.0.0/0', '::/0'], timeoutMs: 5_000 },
  // ingress-nginx waits 600 s for UDP, too, which it can because a flow of its ends with the first answer.
  flows: {
    tcpIdleMs: 600_000,
    udpIdleMs: 60_000,
    retry: { attempts: 3, withinMs: 600_000 },
    responses: null,
    clients: everyClient,
  },
  sources: { deny: [], allow: null },
  closedBy: null,
  sslRedirect: true,
  forceSslRedirect: false,
  compression: null,
  tracing: null,
  http2: true,
  httpRedirectStatus: 308,
  noTlsRedirectPrefixes: ['/.well-known/acme-challenge'],
  noAuthPrefixes: ['/.well-known/acme-challenge'],
  allowsOtherNamespaces: false,
  allowsLoopbackEndpoints: false,
  usesClusterIp: false,
  clients: { idleMs: null, headMs: null, bodyIdleMs: null, requests: null, streams: null },
  keepAlive: { connections: null, requests: null, idleMs: null, lifetimeMs: null },
  timeouts: { connectMs: 5_000, sendMs: 60_000, readMs: 60_000, tryMs: 0, requestMs: 0, tunnelMs: null },
  bodyLimit: 1_048_576,
  retry: { attempts: 3, on: ['connect', 'reset', 'timeout'], canRepeatUnsafe: false, withinMs: 0 },
  repeatsUnsafe: false,
  balance: { algorithm: 'least-request' },
  // An application that answers 500 is not a pod that is broken: whoever finds such a page could put every pod out.
  outlier: {
    consecutiveServerErrors: 0,
    consecutiveGatewayErrors: 5,
    consecutiveLocalFailures: 0,
    successRate: null,
    baseEjectionMs: 10_000,
    maxEjectionMs: 60_000,
    maxEjectedPercent: 50,
  },
  // Services have few pods: where one of three is left, sending two thirds to the others helps nobody.
  panicPercent: 0,
  // Envoy's 1,024 count WebSockets and streams of events as well: an application that has many of them would break by moving.
  circuit: { connections: 0, pending: 0, requests: 0, retries: 0 },
};

/** What one apply yields: changed rows since the apply before, and the whole of everything that is small. */
export interface Translation {
  upserts: readonly Row[];
  deletes: readonly RowRef[];
  /** All current ones, in a stable order. The same array as before when none changed. */
  problems: readonly Problem[];
  /** Secrets that our objects name, whether they exist or not. */
  secretsInUse: ReadonlySet<ObjectKey>;
  /** Ingresses of our classes, for status; sorted. */
  ingresses: readonly ObjectKey[];
}
