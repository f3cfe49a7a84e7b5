import type { Source } from '#table/problem.ts';
import type { CircuitLimit } from '../select/circuit.ts';
import type { flagMeanings } from './flags.ts';
import type { TraceContext } from './tracecontext.ts';

/** Why the gateway, and not the backend, decided how a request ended. One per request; flags.ts says what each means. */
export type ResponseFlag = keyof typeof flagMeanings;

/** Why a try that failed was not followed by another, though the route asks for it. */
export type RetryRefusal =
  | 'unsafe' // the method is not idempotent, and the backend may have processed it
  | 'body' // the body is too long to be at hand still
  | 'tries' // all were used up
  | 'time' // the time for retries, or for the request, is over
  | 'budget' // retries are too large a share of the requests
  | 'limit' // the backend has as many retries as it may have, or as many who wait: max-retries, max-pending-requests
  | 'endpoint'; // there is none to try

/** Who a connection's requests come from, as the access log says it. */
export interface LoggedClient {
  readonly clientAddress: string;
  readonly userAgent: string;
  readonly piece: Uint8Array;
}

/** One finished exchange. The engine's exchange object has these fields, and is passed itself: nothing is copied. */
export interface ExchangeRecord {
  /** Since 1970. */
  readonly startMs: number;
  /** performance.now() based, ms with fractions. */
  readonly durationMs: number;
  /** From the last try until the backend's response head, ms; -1 when none came. */
  readonly upstreamMs: number;
  /** Until the last try was connected, ms; 0 on a kept connection, -1 when it did not come to that. */
  readonly connectMs: number;
  readonly method: string;
  readonly target: string;
  readonly scheme: 'http' | 'https';
  readonly protocol: string;
  readonly authority: string;
  readonly status: number;
  /** What another client would have been answered where a failure was told in gRPC's way, under a 200; 0: none was. */
  readonly grpcErrorStatus: number;
  readonly flag: ResponseFlag;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly clientAddress: string;
  readonly requestId: string;
  /** All of it but its last four hex digits, where it is one of ours: the same text for many; '': it is the client's. */
  readonly requestIdStart: string;
  /** What those four digits say. */
  readonly requestIdLast: number;
  readonly userAgent: string;
  readonly forwardedFor: string;
  /** Kept with the connection by the log; null: it has kept nothing yet. */
  loggedClient: LoggedClient | null;
  /** SNI, '' without TLS. */
  readonly serverName: string;
  /** `address:port` of the last try, '' when none. */
  readonly upstreamHost: string;
  readonly tries: number;
  /** '' where no retry was wanted. */
  readonly retryRefusal: RetryRefusal | '';
  /** Limit of the backend that the request, or a retry of it, ran into. */
  readonly overflow: CircuitLimit | '';
  /** Why TLS with the backend failed, in OpenSSL's words, of the last try that it failed for; '' when there was none. */
  readonly upstreamFault: string;
  readonly routeId: string;
  /** What its path match says; '/' without a route. */
  readonly routePath: string;
  /** Dense number of the route (CompiledRoute.index), -1 without a route. */
  readonly routeIndex: number;
  /** Of the compiled route and of the live backend: where both are as before, so are the ids. 0: there is none. */
  readonly routeSerial: number;
  readonly backendSerial: number;
  readonly routeSource: Source | null;
  /** null: not traced. */
  readonly trace: TraceContext | null;
  readonly backendId: string;
  readonly service: { readonly namespace: string; readonly name: string; readonly port: string } | null;
}

/**
 * What a request counts as. Failures of gRPC calls all have a status of 200, and would be seen in no rate of errors: as with nginx and
 * with Envoy's statistics of clusters, those of the gateway count as what they are. A backend's own are trailers, which we do not read.
 */
export function countedStatus({ status, grpcErrorStatus }: ExchangeRecord): number {
  return grpcErrorStatus === 0 ? status : grpcErrorStatus;
}

/** A TCP connection or a UDP flow that was carried without being read, at its end; or one that was refused. */
export interface FlowRecord {
  /** Since 1970. */
  readonly startMs: number;
  readonly durationMs: number;
  /** How long the last try took to connect, with UDP until the first answer, ms; -1 when it did not come to that. */
  readonly answerMs: number;
  readonly protocol: 'TCP' | 'UDP';
  readonly flag: ResponseFlag;
  /** From the client, and to it. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly clientAddress: string;
  /** SNI, '' where it was not looked for. */
  readonly serverName: string;
  /** `address:port` of the last try, '' when none. */
  readonly upstreamHost: string;
  readonly tries: number;
  /** '' without a route. */
  readonly routeId: string;
  readonly routeSource: Source | null;
  readonly backendId: string;
  readonly service: ExchangeRecord['service'];
}

/** Why a connection is turned away before anything is read of it. */
export const turnAwayReasons = ['full', 'handshakes', 'source', 'offender', 'overload', 'memory'] as const;
export type TurnAwayReason = (typeof turnAwayReasons)[number];

/** What came in the way of a client's TLS handshake. */
export const handshakeFaults = [
  'left', // the client went away
  'timeout', // it was not done in time
  'certificate', // the client does not take the certificate
  'name', // there is no certificate for the name
  'version',
  'cipher', // suites, groups or signatures
  'protocol', // of those that the client speaks over TLS
  'no-tls', // what came is something else, as HTTP in the clear
  'dropped', // the gateway made room, or ended
  'other',
] as const;
export type HandshakeFault = (typeof handshakeFaults)[number];

/** What the engine tells about itself. Implemented by workermetrics.ts; called on the hot path. */
export interface Observer {
  /** Exactly once per request that had a parsable request line, and once per refused garbage (method ''). */
  finished(record: ExchangeRecord): void;
  /** Exactly once per flow, and once per connection that was refused before it became anything. */
  flowEnded(record: FlowRecord): void;
  /** A datagram was thrown away: too many flows, no endpoint, or nobody to take it. */
  datagramDropped(): void;
  connectionOpened(listenerId: string): void;
  connectionClosed(listenerId: string): void;
  requestStarted(): void;
  connectionTurnedAway(reason: TurnAwayReason): void;
  /** Exactly once per client that has said something and got no TLS connection. */
  handshakeFailed(fault: HandshakeFault): void;
}
