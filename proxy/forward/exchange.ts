import type { Source } from '#table/problem.ts';
import type { CompiledEdits, CompiledFilters } from '../filters/compiled.ts';
import { clock } from '../listen/clock.ts';
import { publicHostnameOf } from '../listen/forwarded.ts';
import type { RequestFacts } from '../match/facts.ts';
import type { CompiledRoute } from '../match/match.ts';
import type { ExchangeRecord, LoggedClient, ResponseFlag, RetryRefusal } from '../observe/record.ts';
import type { TraceContext } from '../observe/tracecontext.ts';
import { bodyNone } from '../parse/framing.ts';
import { Head } from '../parse/head.ts';
import { nameIds } from '../parse/names.ts';
import { RequestLine } from '../parse/requestline.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { CircuitLimit } from '../select/circuit.ts';
import type { EndpointState, PickFacts } from '../select/types.ts';
import type { ReplyEncoder } from './encoder.ts';
import type { ClientSide, UpstreamSide } from './sides.ts';
import type { Tunnel } from './tunnel.ts';

/**
 * One request and its answer. Everything that the four steps need to know of it is here, in fields that are always
 * present, so that the object never changes its shape; it is used again for the next request and none is made per request.
 */
export class Exchange implements ExchangeRecord, RequestFacts, PickFacts {
  readonly line = new RequestLine();
  head = new Head();
  client: ClientSide | null = null;

  // What the request says.
  method = '';
  target = '';
  rawPath = '';
  path = '';
  query = '';
  /** Host as backends see it. */
  authority = '';
  hostname = '';
  scheme: 'http' | 'https' = 'http';
  isTls = false;
  clientAddress = '';
  requestId = '';
  requestIdStart = '';
  requestIdLast = 0;
  serverName = '';
  bodyKind = bodyNone;
  contentLength = 0;
  isKeepAlive = true;
  expectsContinue = false;
  wantsWebSocket = false;
  /** Sec-WebSocket-Key of our own, where the client's protocol has none (RFC 8441 §5); else ''. */
  webSocketKey = '';
  /** -1: field absent. */
  maxForwards = -1;
  /** What the client of a gRPC call gives it; -1: field absent. */
  grpcTimeoutMs = -1;
  /** Lower-case names that Connection nominates, besides the well-known ones. */
  nominated: string[] | null = null;

  // What the steps decided.
  route: CompiledRoute | null = null;
  backend: LiveBackend | null = null;
  backendFilters: CompiledFilters | null = null;
  endpoint: EndpointState | null = null;
  readonly tried: EndpointState[] = [];
  setCookie: string | null = null;
  /** Fields for the backend that say what the client's certificate is worth; '' where its host does not ask for one. */
  proofLines = '';

  /** null: not traced; then trace context passes through as it is. */
  trace: TraceContext | null = null;

  // How far it has come.
  upstream: UpstreamSide | null = null;
  /** The head is built but not written: it waits for its connection, or for the body bytes of the same read. */
  isHeadPending = false;
  isRequestComplete = false;
  isResponseStarted = false;
  willClose = false;
  /** Counted among those that wait for a connection. */
  isPending = false;
  hasUsedSpareTry = false;
  /** Body pieces, decoded, kept for another try; null when they can no longer be repeated. */
  replay: (string | Buffer)[] | null = null;
  replayBytes = 0;
  /** Fields after the body; null until it is complete. They stay what they are until the exchange is over. */
  requestTrailers: Head | null = null;
  interims = 0;
  replyKind = bodyNone;
  /** Changes of the response head that this response alone needs. */
  replyEdits: CompiledEdits | null = null;
  /** Stands between the backend's body and the client's; null: the body goes as it is. */
  encoder: ReplyEncoder | null = null;
  /** Response head that waits for the body bytes of the same read. */
  replyPrefix = '';
  /** Set while it is a WebSocket. */
  tunnel: Tunnel | null = null;
  /** performance.now() based; of a tunnel, when its client is told to go. */
  requestDeadlineMs = Number.POSITIVE_INFINITY;
  /** When the first try began. */
  forwardedAtMs = 0;
  tryStartedMs = 0;

  // What is told at the end.
  startMs = 0;
  /** Its whole head was there. */
  startedAtMs = 0;
  /** Until the end: how long the head took. */
  durationMs = 0;
  upstreamMs = -1;
  connectMs = -1;
  status = 0;
  grpcErrorStatus = 0;
  flag: ResponseFlag = '-';
  bytesReceived = 0;
  bytesSent = 0;
  upstreamHost = '';
  upstreamFault = '';
  tries = 0;
  retryRefusal: RetryRefusal | '' = '';
  overflow: CircuitLimit | '' = '';

  /** Makes the object ready for a new request whose head is in `line` and `head`. */
  begin(client: ClientSide, nowMs: number): void {
    const { door, serverName, address, scheme } = client.peer;
    this.client = client;
    this.scheme = scheme;
    this.isTls = door.isTls;
    this.serverName = serverName;
    this.clientAddress = address;
    this.method = this.line.method;
    this.target = this.rawPath = this.path = this.query = this.authority = this.hostname = '';
    this.requestId = this.requestIdStart = this.proofLines = '';
    this.bodyKind = bodyNone;
    this.contentLength = 0;
    this.isKeepAlive = true;
    this.expectsContinue = this.wantsWebSocket = false;
    this.webSocketKey = '';
    this.maxForwards = this.grpcTimeoutMs = -1;
    this.nominated = null;
    this.trace = null;
    this.route = this.backend = this.backendFilters = this.endpoint = this.setCookie = null;
    // Setting a length is a call into the runtime, even to what it is.
    if (this.tried.length > 0) this.tried.length = 0;
    this.upstream = null;
    this.isHeadPending =
      this.isRequestComplete =
      this.isResponseStarted =
      this.willClose =
      this.isPending =
      this.hasUsedSpareTry =
        false;
    this.replay = this.requestTrailers = null;
    this.replayBytes = this.interims = 0;
    this.replyKind = bodyNone;
    this.replyEdits = this.encoder = this.tunnel = null;
    this.replyPrefix = '';
    this.requestDeadlineMs = Number.POSITIVE_INFINITY;
    this.startedAtMs = nowMs;
    this.startMs = clock.wallOriginMs + nowMs;
    this.durationMs = 0;
    this.upstreamMs = this.connectMs = -1;
    this.status = this.grpcErrorStatus = 0;
    this.flag = '-';
    this.bytesReceived = this.bytesSent = 0;
    this.upstreamHost = this.upstreamFault = this.retryRefusal = this.overflow = '';
    this.tries = 0;
  }

  header(name: string): string | undefined {
    // HTTP/2 names the host in :authority, and an absolute target goes before the field (RFC 9113 §8.3.1, RFC 9112 §3.2.2).
    if (name === 'host') return this.authority === '' ? undefined : this.authority;
    return this.head.get(name);
  }

  get publicHostname(): string {
    return publicHostnameOf(this);
  }

  get listenerId(): string {
    return this.client === null ? '' : this.client.peer.door.listenerId;
  }

  get routePath(): string {
    return this.route === null ? '/' : this.route.row.match.path.value;
  }

  get protocol(): string {
    return protocols[this.line.version] ?? '';
  }

  get userAgent(): string {
    return this.head.joined(nameIds['user-agent']);
  }

  get forwardedFor(): string {
    return this.head.joined(nameIds['x-forwarded-for']);
  }

  get loggedClient(): LoggedClient | null {
    return this.client === null ? null : this.client.peer.loggedClient;
  }

  set loggedClient(logged: LoggedClient | null) {
    if (this.client !== null) this.client.peer.loggedClient = logged;
  }

  get routeId(): string {
    return this.route === null ? '' : this.route.id;
  }

  get routeIndex(): number {
    return this.route === null ? -1 : this.route.index;
  }

  get routeSerial(): number {
    return this.route === null ? 0 : this.route.serial;
  }

  get backendSerial(): number {
    return this.backend === null ? 0 : this.backend.serial;
  }

  get routeSource(): Source | null {
    return this.route === null ? null : this.route.row.source;
  }

  get backendId(): string {
    return this.backend === null ? '' : this.backend.row.id;
  }

  get service(): ExchangeRecord['service'] {
    return this.backend === null ? null : this.backend.row.service;
  }
}

const protocols: Readonly<Record<number, string>> = { 10: 'HTTP/1.0', 11: 'HTTP/1.1', 20: 'HTTP/2.0' };

const spares: Exchange[] = [];

/** Idle connections hold no exchange, so memory follows the requests in flight and not the connections. */
export function takeExchange(): Exchange {
  return spares.pop() ?? new Exchange();
}

export function giveExchange(exchange: Exchange): void {
  exchange.client = null;
  if (exchange.head.isRoomy) {
    exchange.head.count = 0;
    exchange.head.text = '';
  } else {
    exchange.head = new Head();
  }
  exchange.route = exchange.backend = exchange.backendFilters = exchange.endpoint = null;
  exchange.replay = exchange.requestTrailers = null;
  // They hold buffers, which a spare would keep for as long as it is not needed.
  exchange.encoder = exchange.tunnel = null;
  // Substrings of a head keep all of it alive. A head of up to 2 KB stays where the next may be like it (Head.repeat).
  exchange.target = exchange.rawPath = exchange.path = exchange.query = exchange.requestId = '';
  exchange.authority = exchange.hostname = exchange.clientAddress = '';
  exchange.trace = null;
  // Of a request that cannot be read it would be told.
  exchange.line.version = 11;
  if (spares.length < 1024) spares.push(exchange);
}
