import { z } from 'zod';
import { ClientAuth } from './clientauth.ts';
import { Compression } from './compression.ts';
import { Source } from './problem.ts';
import { ServerTls } from './servertls.ts';
import { Tracing } from './tracing.ts';

/** A port that clients connect to. */
export const Listener = z.object({
  /** `http`, `https` for Ingress; a Gateway's listeners have ids of their own. */
  id: z.string(),
  source: Source.nullable(),
  /** What is spoken there. `tcp` and `udp`: nothing that is looked into; L4 routes say where it goes. */
  protocol: z.enum(['http', 'https', 'tcp', 'udp']),
  /** Port to bind; 0 lets the kernel choose. The proxy's --http-port and --https-port override it for ids http and https. */
  port: z.int().min(0).max(65535),
  /** Addresses to bind. Empty: every address of both families. */
  addresses: z.array(z.string()),
  /** The port that clients see, for X-Forwarded-Port and redirects. null: the bound port. */
  publicPort: z.int().min(1).max(65535).nullable(),
  /** TLS of an https listener; null on others. */
  tls: ServerTls.nullable(),
  /**
   * Every connection begins with a PROXY header (version 1 or 2), which names the client; null: none does. It is never
   * optional: a listener that guesses can be lied to by anybody.
   */
  proxyProtocol: z
    .object({
      /** Peers (CIDR) that may connect at all; they are believed. */
      sources: z.array(z.string()),
      /** Longest wait for the whole header, ms. */
      timeoutMs: z.int().min(1),
    })
    .nullable()
    .default(null),
  /** HTTP/2 beside HTTP/1.1: by ALPN on https, by prior knowledge on http; false on others. */
  http2: z.boolean(),
  /** Peers (CIDR) whose X-Forwarded-* fields are believed; from all others they are replaced. */
  trustedProxies: z.array(z.string()),
  /** Value of Strict-Transport-Security on every TLS response; null: none is added. */
  hsts: z.string().nullable(),
  /** What its clients may take, where the worker's own limits do not hold (null). In ms, 0: no limit. */
  clients: z.object({
    /** Silence between two requests. */
    idleMs: z.int().min(0).nullable(),
    /** For a request head. */
    headMs: z.int().min(0).nullable(),
    /** Silence inside a request body. */
    bodyIdleMs: z.int().min(0).nullable(),
    /** Requests on one connection. */
    requests: z.int().min(1).nullable(),
    /** Requests that one HTTP/2 connection may have open at once. */
    streams: z.int().min(1).max(1_000).nullable().default(null),
  }),
  /** null: bodies go as they are, unless a route says otherwise. */
  compression: Compression.nullable(),
  /** null: trace context passes through as it is. */
  tracing: Tracing.nullable().default(null),
});
export type Listener = z.infer<typeof Listener>;

/** A hostname on some listeners. Routes are found through it. */
export const Host = z.object({
  /** `<listener group>/<hostname>`. */
  id: z.string(),
  source: Source.nullable(),
  listenerIds: z.array(z.string()),
  /** Lower case, no port, no trailing dot: `shop.example.com`, `*.example.com`, or `*` for every host. */
  hostname: z.string(),
  /**
   * How many labels `*.` stands for: `one` (Ingress) or `many` (Gateway API, GEP-2257).
   * Ignored on exact names and on `*`.
   */
  wildcard: z.enum(['one', 'many']),
  /** Certificates for SNI names that match the hostname, best first. Empty: the listener's default. */
  certificateIds: z.array(z.string()),
  /** OpenSSL's list of suites for TLS 1.2; null: that of the listener. */
  ciphers: z.string().nullable(),
  /** What TLS clients have to prove; null: nothing, and they are not asked. */
  clientAuth: ClientAuth.nullable(),
  /** What happens to a request that no route of this host accepts: true tries wider hosts (Gateway API), false is 404 (Ingress). */
  canFallThrough: z.boolean(),
});
export type Host = z.infer<typeof Host>;
