import { z } from 'zod';

/** Spans of requests, and where they are sent. */
export const Tracing = z.object({
  /** Where they are posted, as OTLP over HTTP: `http://collector:4318/v1/traces`. */
  endpoint: z.string(),
  /** Resource attribute service.name. */
  serviceName: z.string(),
  /** Whether requests are traced where their route says nothing. */
  isOn: z.boolean(),
  /** Whether a trace that the client names goes on, where the route says nothing; else each request begins one. */
  continues: z.boolean(),
  /** Share of requests whose spans are sent. */
  ratio: z.number().min(0).max(1),
  /** Whose word that a trace is sampled, or not, goes before the ratio. */
  sampledBy: z.enum(['trusted-proxies', 'everybody']),
  /** Spans that a worker holds at most; more are dropped. */
  queue: z.int().min(1),
  /** Spans of one post at most, and the longest that one waits for others, ms. */
  batch: z.int().min(1),
  delayMs: z.int().min(1),
});
export type Tracing = z.infer<typeof Tracing>;
