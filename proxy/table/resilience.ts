import { z } from 'zod';

/** How an endpoint is asked whether it is well. */
export const Probe = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('http'),
    method: z.enum(['GET', 'HEAD', 'OPTIONS']),
    path: z.string(),
    /** null: the endpoint's address. */
    host: z.string().nullable(),
    /** Statuses that are well: from, to. */
    expectedStatuses: z.array(z.tuple([z.int(), z.int()])).min(1),
  }),
  /** Whether it takes a connection. */
  z.object({ type: z.literal('tcp') }),
  z.object({
    type: z.literal('grpc'),
    /** Name that grpc.health.v1.Health/Check is asked about; '': the server as a whole. */
    service: z.string(),
    /** null: the endpoint's address. */
    host: z.string().nullable(),
  }),
]);
export type Probe = z.infer<typeof Probe>;

/** Active probing: a backend's endpoints are asked, whether there are requests for them or not. */
export const HealthCheck = z.object({
  probe: Probe,
  intervalMs: z.int().min(100),
  timeoutMs: z.int().min(1),
  /** Bad answers in a row that put an endpoint out. The first answer of an endpoint decides alone. */
  unhealthyAfter: z.int().min(1),
  /** Good answers in a row that bring it back. */
  healthyAfter: z.int().min(1),
});
export type HealthCheck = z.infer<typeof HealthCheck>;

/**
 * Passive ejection: an endpoint that keeps failing is left out for a while. A failure of the connection (none made, reset,
 * time over) counts in all three rows; so each is a part of the one before. 0: the row is not looked at.
 */
export const Outlier = z.object({
  /** Answers 500 to 599 and failures in a row that eject. */
  consecutiveServerErrors: z.int().min(0),
  /** Answers 502, 503, 504 and failures in a row that eject. */
  consecutiveGatewayErrors: z.int().min(0),
  /** Failures in a row that eject. */
  consecutiveLocalFailures: z.int().min(0),
  /** Ejects endpoints that succeed less often than the others do; null: off. */
  successRate: z
    .object({
      /** How often rates are compared, ms. */
      intervalMs: z.int().min(100),
      /** Tries that an endpoint needs in an interval to be compared. */
      minRequests: z.int().min(1),
      /** Endpoints that there must be to compare. */
      minEndpoints: z.int().min(2),
      /** How far below the mean is too far, standard deviations. */
      deviations: z.number().min(0),
    })
    .nullable(),
  /** First ejection, ms; the n-th lasts n times as long. */
  baseEjectionMs: z.int().min(1),
  maxEjectionMs: z.int().min(1),
  /** At most this share of the endpoints is out at once, percent. 0: none is ever ejected. */
  maxEjectedPercent: z.int().min(0).max(100),
});
export type Outlier = z.infer<typeof Outlier>;

/** How long connections are kept for later requests; null: as the worker was told. */
export const KeepAlive = z.object({
  /** Idle ones per endpoint and worker; 0: none is kept. */
  connections: z.int().min(0).nullable(),
  /** Requests on one connection. */
  requests: z.int().min(1).nullable(),
  /** 0: no limit. */
  idleMs: z.int().min(0).nullable(),
  /** Age at which a connection takes no more requests; 0: no limit. */
  lifetimeMs: z.int().min(0).nullable(),
});
export type KeepAlive = z.infer<typeof KeepAlive>;

/** How much one worker may use of a backend at once; 0: no limit. Over it, 503 at once. */
export const CircuitLimits = z.object({
  /** Connections, idle ones included. Over it, requests wait for one. */
  connections: z.int().min(0),
  /** Requests that wait for a connection, or for one to be opened. */
  pending: z.int().min(0),
  /** Tries in flight, WebSockets included. */
  requests: z.int().min(0),
  /** Tries in flight that are not the first of their request. */
  retries: z.int().min(0),
});
export type CircuitLimits = z.infer<typeof CircuitLimits>;
