import { z } from 'zod';
import { Filter } from './filter.ts';
import { Source } from './problem.ts';

export const PathMatch = z.discriminatedUnion('type', [
  /** Byte for byte. */
  z.object({ type: z.literal('exact'), value: z.string() }),
  /** By path element: `/foo` covers `/foo` and `/foo/x`, not `/foobar`. `/` covers all. */
  z.object({ type: z.literal('element'), value: z.string() }),
  /** By characters: `/foo` covers `/foobar`. */
  z.object({ type: z.literal('prefix'), value: z.string() }),
  /** Anchored at the start. Already proven linear (re2 syntax) by the writer; compiled in match/regex.ts only. */
  z.object({
    type: z.literal('regex'),
    value: z.string(),
    ignoreCase: z.boolean(),
    /** Tried among the prefixes: after elements of so many bytes, before other prefixes of as many. null: before all of them. */
    place: z.int().min(0).nullable().default(null),
  }),
]);
export type PathMatch = z.infer<typeof PathMatch>;

export const ValueMatch = z.object({
  /** Header name (any case) or query parameter name (exact). */
  name: z.string(),
  type: z.enum(['exact', 'regex']),
  value: z.string(),
});
export type ValueMatch = z.infer<typeof ValueMatch>;

/** All in ms; 0: no limit. Each ends a request with a response flag of its own (proxy/observe/record.ts). */
const Timeouts = z.object({
  /** Longest wait for a backend connection. */
  connectMs: z.int().min(0),
  /** Longest pause between two writes to the backend. */
  sendMs: z.int().min(0),
  /** Longest pause between two reads from the backend, and until the first. */
  readMs: z.int().min(0),
  /** Longest wait of one try for the response head, once the request is there. */
  tryMs: z.int().min(0),
  /** Longest whole request, from the end of its head to the last byte of the response: heads have a time of their own. */
  requestMs: z.int().min(0),
  /** Longest silence of a WebSocket, whichever side is silent. */
  tunnelMs: z.int().min(0),
});

/**
 * When another endpoint is tried. `connect`: no connection. `reset`: closed before any response byte. `timeout`: no
 * connection, no progress of the request, or no response head in time. `malformed`: no HTTP. Or a status.
 */
const RetryCause = z.union([z.enum(['connect', 'reset', 'timeout', 'malformed']), z.int().min(400).max(599)]);
export type RetryCause = z.infer<typeof RetryCause>;

const Retry = z.object({
  /** Tries in all, the first included. 1: no retry. */
  attempts: z.int().min(1).max(16),
  on: z.array(RetryCause),
  /** Also requests whose method is not idempotent and that may have been processed (RFC 9110 §9.2.2). */
  canRepeatUnsafe: z.boolean(),
  /** No try begins later than this after the first, ms; 0: no limit. */
  withinMs: z.int().min(0),
});

const WeightedBackend = z.object({
  backendId: z.string(),
  weight: z.int().min(0).max(1_000_000),
  /** Filters for requests that go to this backend, after the route's own. */
  filters: z.array(Filter),
});

/** One rule of one object. One to one with what the user wrote; ordering among rules is the matcher's work. */
export const Route = z.object({
  /** `ingress/<ns>/<name>/<rule>/<path>` with decimal indexes. */
  id: z.string(),
  source: Source,
  hostIds: z.array(z.string()),
  match: z.object({
    path: PathMatch,
    /** null: every method. */
    methods: z.array(z.string()).nullable(),
    /** All must hold. */
    headers: z.array(ValueMatch),
    query: z.array(ValueMatch),
  }),
  precedence: z.object({
    /** Higher is tried first among regex routes of a host that have one place; among others it only breaks ties of equally specific matches. */
    priority: z.int(),
    /** Lower sorts first: creation time, namespace/name, rule and path index; so the oldest object wins. */
    order: z.string(),
  }),
  filters: z.array(Filter),
  /** Weights are relative. Empty: answered by the filters alone, else 503. */
  backends: z.array(WeightedBackend),
  timeouts: Timeouts,
  retry: Retry,
  /** Longest request body in bytes; null: no limit. Over it: 413. */
  bodyLimit: z.int().min(0).nullable(),
});
export type Route = z.infer<typeof Route>;
