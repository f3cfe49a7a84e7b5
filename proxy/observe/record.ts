import type { Source } from '#table/problem.ts';
import type { CircuitLimit } from '../select/circuit.ts';

/**
 * Why the gateway, and not the backend, decided how a request ended. One per request; for the access log and metrics.
 * Names follow Envoy's response flags where one exists, because log pipelines know them. Of timeouts, each has its own: the
 * setting that it comes from stands behind it.
 */
export type ResponseFlag =
  | '-' // the backend answered
  | 'NR' // no route
  | 'NE' // no endpoint that can take it
  | 'UO' // the backend has as much as it may have: max-requests and its kin
  | 'BR' // the route's backend is broken (a problem on its object)
  | 'UF' // no connection to the backend
  | 'UV' // the backend's certificate is not trusted
  | 'UC' // the backend closed before or during its response, or reset a flow
  | 'UPE' // the backend's response was malformed
  | 'UCT' // no connection to the backend in time: proxy-connect-timeout
  | 'UST' // the backend did not take the request in time: proxy-send-timeout
  | 'UT' // the backend was silent for too long: proxy-read-timeout
  | 'UTT' // no response head in the time of one try: per-try-timeout
  | 'DT' // the whole request took too long: request-timeout
  | 'SI' // a WebSocket or a flow was silent for too long: websocket-idle-timeout, proxy-stream-timeout
  | 'DPE' // the request was malformed, or a PROXY header was, was missing, or came from a stranger
  | 'CC' // the client's certificate: none, not trusted, for somebody else, or asked for by another host
  | 'DC' // the client went away
  | 'DHT' // the client did not send the request head, or a PROXY header, in time: --limit-head-ms, proxy-protocol-header-timeout
  | 'DBT' // the client did not send the request body in time: --limit-body-idle-ms
  | 'DWT' // the client did not take the response in time: --limit-write-idle-ms
  | 'LR' // answered by a filter (redirect)
  | 'RL' // a limit (413, 414, 431)
  | 'OM'; // overload

/** Why a try that failed was not followed by another, though the route asks for it. */
export type RetryRefusal =
  | 'unsafe' // the method is not idempotent, and the backend may have processed it
  | 'body' // the body is too long to be at hand still
  | 'tries' // all were used up
  | 'time' // the time for retries, or for the request, is over
  | 'budget' // retries are too large a share of the requests
  | 'limit' // the backend has as many retries as it may have: max-retries
  | 'endpoint'; // there is none to try

/** One finished exchange. The engine's exchange object has these fields, and is passed itself: nothing is copied. */
export interface ExchangeRecord {
  /** Since 1970. */
  readonly startMs: number;
  /** performance.now() based, ms with fractions. */
  readonly durationMs: number;
  /** From the last try until the backend's response head, ms; -1 when none came. */
  readonly upstreamMs: number;
  readonly method: string;
  readonly target: string;
  readonly protocol: string;
  readonly authority: string;
  readonly status: number;
  readonly flag: ResponseFlag;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly clientAddress: string;
  readonly requestId: string;
  readonly userAgent: string;
  readonly forwardedFor: string;
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
  /** Dense number of the route (CompiledRoute.index), -1 without a route. */
  readonly routeIndex: number;
  readonly routeSource: Source | null;
  readonly backendId: string;
  readonly service: { readonly namespace: string; readonly name: string; readonly port: string } | null;
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
export const turnAwayReasons = ['full', 'handshakes', 'source', 'overload', 'memory'] as const;
export type TurnAwayReason = (typeof turnAwayReasons)[number];

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
}
