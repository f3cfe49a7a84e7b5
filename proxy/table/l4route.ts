import { z } from 'zod';
import { Source } from './problem.ts';
import { SourceRanges } from './sources.ts';

/**
 * Where bytes go that are not read as HTTP: the connections of a tcp listener, the datagrams of a udp listener, or the TLS
 * connections of some server names on an https listener, which then stay encrypted (passthrough).
 */
export const L4Route = z.object({
  id: z.string(),
  source: Source,
  /** Listeners of any protocol but http. */
  listenerIds: z.array(z.string()),
  /**
   * Server names (SNI) of the TLS connections that it takes: lower case, `shop.example.com` or `*.example.com`. Empty: every
   * connection or flow. Where some route of a listener has names, its connections are looked into before one is chosen.
   */
  hostnames: z.array(z.string()),
  /** How many labels `*.` stands for, as of a Host. */
  wildcard: z.enum(['one', 'many']),
  /** Lower sorts first. Of several routes for one name, or for all of a listener, only the first takes traffic. */
  order: z.string(),
  /** Weights are relative, drawn once per connection or flow. Empty or all 0: nothing is taken. */
  backends: z.array(z.object({ backendId: z.string(), weight: z.int().min(0).max(1_000_000) })),
  /** Whose connections and flows are taken; null: everybody's. */
  sources: SourceRanges.nullable().default(null),
  /** 0: no limit. */
  timeouts: z.object({
    /** Longest wait for a backend connection, ms. */
    connectMs: z.int().min(0),
    /** A connection or flow in which nothing moves for this long ends, ms. */
    idleMs: z.int().min(0),
  }),
  /** When an endpoint cannot be reached, another one is tried. */
  retry: z.object({
    /** Tries in all, the first included. */
    attempts: z.int().min(1).max(16),
    /** No further try after this long, ms; 0: no limit. */
    withinMs: z.int().min(0),
  }),
  /** Version of the PROXY protocol that tells the backend of a TCP connection where it comes from; null: it is not told. */
  sendProxyProtocol: z.enum(['v1', 'v2']).nullable(),
  /** A UDP flow ends after so many datagrams of the backend for each of the client; null: by its idle time only. */
  responses: z.int().min(0).nullable(),
  /** How many clients of a udp listener a worker hears at a time; datagrams of others are dropped. null: as many as it has room for. */
  clients: z
    .object({
      most: z.int().min(1).nullable(),
      /** Of these, those of one IPv4 address or IPv6 /64. */
      mostPerSource: z.int().min(1).nullable(),
    })
    .default({ most: null, mostPerSource: null }),
});
export type L4Route = z.infer<typeof L4Route>;
