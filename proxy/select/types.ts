import type { Endpoint } from '#table/backend.ts';
import type { Circuit } from './circuit.ts';

/**
 * How a try at an endpoint ended. `success`: an answer below 500. `server-error`: another 5xx than 502, 503, 504, which are
 * `gateway-error`. `local-failure`: no answer, or none that is HTTP. `unreachable`: the same, for want of a connection and at
 * once. `abandoned`: it was not the endpoint that ended it.
 */
export type TryResult = 'success' | 'server-error' | 'gateway-error' | 'local-failure' | 'unreachable' | 'abandoned';

export interface TryOutcome {
  readonly result: TryResult;
  readonly startedMs: number;
  /** Until the response head; until the end, when none came. */
  readonly latencyMs: number;
  readonly nowMs: number;
}

/**
 * Live state of one address:port in this worker, shared by all routes and backends that use it.
 * Every nowMs of this folder is of the monotonic clock that the engine has at hand, milliseconds since the process began.
 */
export interface EndpointState {
  /** `address:port`, `[address]:port` for IPv6; key of the connection pool, too. */
  readonly key: string;
  readonly address: string;
  readonly port: number;
  /** The row as last applied. */
  readonly endpoint: Endpoint;
  /** No row names it any more. */
  readonly isGone: boolean;
  /** Whether requests of the backend may go to it; rows of others may name it for longer. */
  isOf(backend: BackendState): boolean;
  /** Requests in flight from this worker. */
  inFlight: number;
  /** A request was handed to this endpoint. */
  started(): void;
  /** The endpoint took what may go on for days: how it does is known now, and not when the try ends, as `abandoned`. */
  answered(outcome: TryOutcome): void;
  /** The try ended; once per try that was started. */
  finished(outcome: TryOutcome): void;
}

/** What choosing an endpoint may depend on. The engine's exchange implements it. */
export interface PickFacts {
  readonly clientAddress: string;
  readonly hostname: string;
  /** Path and query as sent. */
  readonly target: string;
  readonly path: string;
  readonly query: string;
  /** true when the client's connection is TLS: decides Secure on a cookie. */
  readonly isTls: boolean;
  /** Path of the matched route: default Path of an affinity cookie. */
  readonly routePath: string;
  header(name: string): string | undefined;
}

export interface Pick {
  readonly endpoint: EndpointState;
  /** Value for a Set-Cookie field of the response, or null. */
  readonly setCookie: string | null;
}

/** One backend's endpoints and how to choose among them. */
export interface BackendState {
  readonly circuit: Circuit;
  /**
   * @param tried endpoints that this request has failed on; empty at the first try
   * @returns null when no endpoint can take the request
   */
  pick(facts: PickFacts, tried: readonly EndpointState[], nowMs: number): Pick | null;
}
