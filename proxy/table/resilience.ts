import { z } from 'zod';

/** Active probing: a backend's endpoints are asked, whether there are requests for them or not. */
export const HealthCheck = z.object({
  path: z.string(),
  /** Host of the probe; null: the endpoint's address. */
  host: z.string().nullable(),
  intervalMs: z.int().min(100),
  timeoutMs: z.int().min(1),
  unhealthyAfter: z.int().min(1),
  healthyAfter: z.int().min(1),
  expectedStatuses: z.tuple([z.int(), z.int()]),
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
