import { z } from 'zod';

/**
 * What one worker allows its clients. Every number is a safe default for a gateway on the open internet. 0 is no limit where
 * it may be given for a time.
 */
export const Limits = z.object({
  /** Request line, bytes: 414. Of HTTP/2, method and path. */
  requestLineBytes: z.int().min(256).max(65_536).default(8_192),
  /** Whole request head, bytes: 431. Larger than nginx's 4 × 8 KiB would only help attackers. */
  headBytes: z.int().min(1_024).max(65_536).default(32_768),
  /** Fields of a request head: 431. */
  headFields: z.int().min(10).max(250).default(100),
  /** Head of a backend's response, bytes: 502. */
  responseHeadBytes: z.int().min(1_024).max(65_536).default(65_536),
  /** Fields of a response head: 502. */
  responseHeadFields: z.int().min(10).max(250).default(250),
  /** Open client connections of one worker; above it new ones get 503 (with TLS: nothing) and are closed. */
  connections: z.int().min(1).default(20_000),
  /** Of these, those of one source: an IPv4 address or an IPv6 /64. 0: what is fair (gate.ts). */
  connectionsPerSource: z.int().min(0).default(0),
  /** Connections that one source may open per second; 0: as many as it likes. */
  newConnectionsPerSource: z.int().min(0).default(0),
  /** Request heads of one worker that are partly there; of more the one that waits longest is given up: 408. */
  halfOpenHeads: z.int().min(1).default(5_000),
  /** TLS handshakes of one worker at a time; above it those that are not getting on make room, or new connections are closed. */
  handshakes: z.int().min(1).default(1_000),
  /** Of these, those of one source, of more of which its own make room; 0: what is fair. */
  handshakesPerSource: z.int().min(0).default(0),
  /** Wait of a new connection from which on others are turned away until it is short again, ms; 0: never. */
  overloadMs: z.int().min(0).default(50),
  /** Memory of one worker, bytes: from 80 % on answers end their connections, from 90 % on requests get 503. 0: what the container or the machine allows (fleet/allowance.ts). */
  memoryBytes: z.int().min(0).default(0),
  /** Requests on one client connection before it is closed, so that long-lived clients spread again. */
  requestsPerConnection: z.int().min(1).default(10_000),
  /** Silence between two requests (or before the first) before the connection is closed, ms. */
  idleMs: z.int().min(0).default(75_000),
  /** From the first byte of a head to its last, ms: 408. */
  headMs: z.int().min(0).default(15_000),
  /** Silence inside a request body, ms: 408. Of a gRPC call, silence of both ends. */
  bodyIdleMs: z.int().min(0).default(60_000),
  /** A body must come at this rate, silences up to bodyIdleMs apart: 408; 0: at any. gRPC, whose calls are streams, at any. */
  bodyBytesPerSecond: z.int().min(0).default(240),
  /** How long a client may take nothing of an answer that waits for it, ms. */
  writeIdleMs: z.int().min(0).default(60_000),
  /** How long an answer to a client that half-closed its side may rest before the client is taken for gone, ms. */
  halfCloseMs: z.int().min(1).default(5_000),
  /** How long unread upload bytes are thrown away after an early answer, so that the client can read that answer, ms. */
  lingerMs: z.int().min(1).default(2_000),
  /** Requests that one HTTP/2 connection may have open at once (RFC 9113 §5.1.2). */
  streams: z.int().min(1).max(1_000).default(100),
  /**
   * Upload bytes that one stream may have on the way once its backend keeps up, bytes; it begins with 64 KiB, and what all of a
   * connection have beyond that is at most a quarter of connectionWindowBytes.
   */
  streamWindowBytes: z.int().min(65_535).max(16_777_216).default(1_048_576),
  /**
   * Upload bytes that one HTTP/2 connection may have unread, and so in memory, bytes. Three quarters of the default are what 100
   * streams begin with: as many as there may be whose backends read nothing keep none from going on.
   */
  connectionWindowBytes: z.int().min(65_535).max(67_108_864).default(9_437_184),
  /** From the start of an HTTP/2 connection to the client's SETTINGS, ms. */
  settingsMs: z.int().min(1).default(5_000),
  /** UDP flows of one worker; datagrams of further clients are dropped. */
  udpFlows: z.int().min(1).default(10_000),
  /** UDP flows of one source and worker: an IPv4 address or an IPv6 /64. */
  udpFlowsPerSource: z.int().min(1).default(1_000),
  /** Idle time of a UDP flow whose client has sent one datagram only, ms; its route's, if shorter. */
  udpQuestionMs: z.int().min(1).default(10_000),
  /** TLS handshake, ms. */
  handshakeMs: z.int().min(1).default(10_000),
  /** Longest request body that is kept to be sent again, bytes (Linkerd: no retry above 64 KiB). */
  replayBytes: z.int().min(0).default(65_536),
  /**
   * Idle backend connections kept per endpoint and worker: as many as were busy at once, in general. Those that are not needed
   * any more end by upstreamIdleMs, and half of them in each tenth of a second in which memory is short.
   */
  upstreamIdleConnections: z.int().min(0).default(1_024),
  /** Idle time of a kept backend connection, ms; a shorter `Keep-Alive: timeout` of the backend wins. */
  upstreamIdleMs: z.int().min(0).default(60_000),
  /** Age at which a backend connection is not reused any more, ms, so that load spreads again. */
  upstreamLifetimeMs: z.int().min(0).default(3_600_000),
  /** Responses that are compressed at a time; others go as they are. A compressor takes 256 KiB to 2 MiB. */
  encoders: z.int().min(0).default(256),
  /** Requests on one backend connection, so that load spreads again. */
  upstreamRequests: z.int().min(1).default(10_000),
  /** Retries allowed per second of one worker besides a fifth of the requests (Finagle, Linkerd: 20 % + 10/s). */
  retriesPerSecond: z.int().min(0).default(10),
});
export type Limits = z.infer<typeof Limits>;
