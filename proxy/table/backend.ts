import { z } from 'zod';
import { Source } from './problem.ts';
import { CircuitLimits, HealthCheck, KeepAlive, Outlier } from './resilience.ts';
import { UpstreamTls } from './upstreamtls.ts';

/** What a consistent hash is taken of. Parts are joined. */
export const HashPart = z.discriminatedUnion('type', [
  z.object({ type: z.literal('header'), name: z.string() }),
  z.object({ type: z.literal('cookie'), name: z.string() }),
  z.object({ type: z.literal('query'), name: z.string() }),
  /** The client's address (after trusted proxies). */
  z.object({ type: z.literal('source') }),
  /** Path and query. */
  z.object({ type: z.literal('target') }),
  /** Path without query. */
  z.object({ type: z.literal('path') }),
  z.object({ type: z.literal('host') }),
  z.object({ type: z.literal('text'), value: z.string() }),
]);
export type HashPart = z.infer<typeof HashPart>;

export const Balance = z.discriminatedUnion('algorithm', [
  z.object({ algorithm: z.literal('round-robin') }),
  /** Random of two, fewer requests in flight wins. */
  z.object({ algorithm: z.literal('least-request') }),
  /** Random of two by peak EWMA of latency × in flight. */
  z.object({ algorithm: z.literal('ewma') }),
  /** Consistent hash on a ring. subsetSize: hash to that many endpoints, then random among them; 0: no subset. */
  z.object({ algorithm: z.literal('ring-hash'), parts: z.array(HashPart).min(1), subsetSize: z.int().min(0) }),
]);
export type Balance = z.infer<typeof Balance>;

export const Affinity = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('cookie'),
    name: z.string(),
    /** persistent: the session stays on its endpoint while that lives. balanced: sessions may move when endpoints change. */
    mode: z.enum(['persistent', 'balanced']),
    /** null: the path of the route. */
    path: z.string().nullable(),
    domain: z.string().nullable(),
    maxAgeSeconds: z.int().nullable(),
    /** Expires = now + this; null: attribute absent. */
    expiresSeconds: z.int().nullable(),
    sameSite: z.enum(['None', 'Lax', 'Strict']).nullable(),
    /** null: Secure exactly when the client connection is TLS. */
    secure: z.boolean().nullable(),
    /** Leave SameSite=None out for browsers that mishandle it. */
    conditionalSameSiteNone: z.boolean(),
    /** After a failed try on the session's endpoint: true re-picks and re-issues the cookie, false keeps the session. */
    changeOnFailure: z.boolean(),
  }),
  /** Service sessionAffinity: ClientIP. */
  z.object({ type: z.literal('client-ip'), timeoutSeconds: z.int().min(1) }),
]);
export type Affinity = z.infer<typeof Affinity>;

/** A port of a Service, with everything about how it is spoken to. */
export const Backend = z.object({
  /** `<ns>/<service>/<port>` plus a suffix where annotations give one Service port several faces. */
  id: z.string(),
  source: Source,
  /** Shown in logs and metrics. */
  service: z.object({ namespace: z.string(), name: z.string(), port: z.string() }),
  /** Set when nothing can be forwarded: the reason, told to the client in one sentence. The row has no endpoints then. */
  broken: z.object({ status: z.int().min(400).max(599), code: z.string(), message: z.string() }).nullable(),
  /**
   * `http`, `https`: HTTP/1.1. `h2c`, `h2`: HTTP/2 without and with TLS. `same-as-client`: HTTP/1.1, with TLS where the client has it.
   * `tcp`, `udp`: of L4 routes, which read nothing of what they carry.
   */
  protocol: z.enum(['http', 'https', 'same-as-client', 'h2c', 'h2', 'tcp', 'udp']),
  /** null: in the clear. */
  tls: UpstreamTls.nullable(),
  balance: Balance,
  affinity: Affinity.nullable(),
  /** A new endpoint's share grows over this many ms; 0: at once. */
  slowStartMs: z.int().min(0),
  outlier: Outlier,
  circuit: CircuitLimits,
  keepAlive: KeepAlive,
  /** null: no probes. */
  healthCheck: HealthCheck.nullable(),
  /** When a smaller share of the endpoints is healthy and not ejected, all are used; percent. 0: only when none is left, the healthy ones first. */
  panicPercent: z.int().min(0).max(100),
  /** Prefer endpoints of the proxy's own zone or node (trafficDistribution, topology hints). */
  prefer: z.enum(['any', 'zone', 'node']),
});
export type Backend = z.infer<typeof Backend>;

export const Endpoint = z.object({
  /** IP address, without brackets. */
  address: z.string(),
  port: z.int().min(1).max(65535),
  /** Identity that survives nothing: the pod's uid, else `address:port`. An affinity cookie names it. */
  uid: z.string(),
  zone: z.string().nullable(),
  node: z.string().nullable(),
  /** Zones that this endpoint is meant for (topology hints); empty: all. */
  forZones: z.array(z.string()),
  /** KEP-1672: ready takes traffic; when none is ready, serving and terminating ones do. */
  ready: z.boolean(),
  serving: z.boolean(),
  terminating: z.boolean(),
  weight: z.int().min(1),
});
export type Endpoint = z.infer<typeof Endpoint>;

/** The endpoints of one backend. They change a hundred times as often as routes, so they are a table of their own. */
export const Endpoints = z.object({
  /** Backend ids share a set when only their annotations differ; so this is `<ns>/<service>/<port>`. */
  id: z.string(),
  source: Source,
  /** Ids of the backend rows that use this set. */
  backendIds: z.array(z.string()),
  endpoints: z.array(Endpoint),
  /** ExternalName: the proxy resolves this name (again after each TTL) instead of reading `endpoints`. */
  dns: z.object({ name: z.string(), port: z.int().min(1).max(65535) }).nullable(),
});
export type Endpoints = z.infer<typeof Endpoints>;
