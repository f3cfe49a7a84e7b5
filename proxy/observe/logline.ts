import { isKnownMethod } from '#kit/methods.ts';
import type { Source } from '#table/problem.ts';
import { hashOf } from '../match/textindex.ts';
import { copyOf } from '../parse/latin1.ts';
import { asciiJson, type LogPage, logPiece } from './logpage.ts';
import type { ExchangeRecord, FlowRecord, LoggedClient } from './record.ts';

/**
 * One request as a line of JSON, with its line feed. Names are those of Envoy's default access log, for which every log
 * pipeline has a parser, and the Kubernetes identity that ingress controllers add. Durations are in milliseconds. Absent is
 * null, but for trace_id and upstream_transport_failure_reason, which few lines have. Written by hand, because JSON.stringify of an
 * object costs several times as much; all text is escaped. What is mostly the same is one piece, made once.
 */
export function writeRequestLine(page: LogPage, record: ExchangeRecord): void {
  startTime(page, record.startMs);
  page.piece(methodPiece(record.method));
  page.text(record.target);
  const outcome = outcomeOf(record);
  if (record.bytesReceived === 0) page.piece(outcome.noneReceived);
  else {
    page.piece(outcome.received);
    page.whole(record.bytesReceived);
    page.piece(pieces.bytesSent);
  }
  transfer(page, record, record.upstreamMs);
  client(page, record);
  requestId(page, record);
  if (record.trace !== null) {
    page.piece(pieces.traceId);
    page.text(record.trace.traceId);
  }
  end(page, record, whereTo(record));
}

/** The same for a flow: a line with the same names, as Envoy has it, where those of requests are null. */
export function writeFlowLine(page: LogPage, record: FlowRecord): void {
  startTime(page, record.startMs);
  page.piece(pieces.flowProtocol);
  page.text(record.protocol);
  page.piece(pieces.flowFlags);
  page.text(record.flag);
  page.piece(pieces.flowReceived);
  page.whole(record.bytesReceived);
  page.piece(pieces.bytesSent);
  transfer(page, record, record.answerMs);
  page.piece(pieces.clientAlone);
  page.text(record.clientAddress);
  page.piece(pieces.flowUpstreamHost);
  page.text(record.upstreamHost);
  page.piece(pieces.flowTries);
  page.whole(record.tries);
  page.piece(pieces.serverName);
  page.text(record.serverName);
  page.piece(logPiece(endOf(record)));
}

const pieces = {
  bytesSent: logPiece(',"bytes_sent":'),
  duration: logPiece(',"duration":'),
  serviceTime: logPiece(',"upstream_service_time":'),
  none: logPiece('null'),
  clientAlone: logPiece(',"x_forwarded_for":null,"client_address":'),
  forwardedFor: logPiece(',"x_forwarded_for":'),
  client: logPiece(',"client_address":'),
  userAgent: logPiece(',"user_agent":'),
  requestId: logPiece(',"request_id":'),
  traceId: logPiece(',"trace_id":'),
  authority: logPiece(',"authority":'),
  flowProtocol: logPiece('Z","method":null,"path":null,"protocol":'),
  flowFlags: logPiece(',"response_code":0,"response_flags":'),
  flowReceived: logPiece(',"bytes_received":'),
  flowTries: logPiece(',"upstream_tries":'),
  serverName: logPiece(',"requested_server_name":'),
  flowUpstreamHost: logPiece(',"user_agent":null,"request_id":null,"authority":null,"upstream_host":'),
};

let startedSecond = Number.NaN;
let startedPiece = logPiece('');

/** RFC 3339 in UTC with milliseconds, but for its end; the part down to the second is made once per second. */
function startTime(page: LogPage, ms: number): void {
  const whole = Math.floor(ms);
  const second = Math.floor(whole / 1000);
  if (second !== startedSecond) {
    startedSecond = second;
    startedPiece = logPiece(`{"start_time":"${new Date(second * 1000).toISOString().slice(0, 20)}`);
  }
  page.piece(startedPiece);
  page.threeDigits(whole - second * 1000);
}

/** Of methods that are taken, and of '', where there was none; what others are clients make up, as long as a head. */
const methodPieces = new Map<string, Uint8Array>();

function methodPiece(method: string): Uint8Array {
  let piece = methodPieces.get(method);
  if (piece === undefined) {
    piece = logPiece(`Z","method":${asciiJson(method)},"path":`);
    if (method === '' || isKnownMethod(method)) methodPieces.set(method, piece);
  }
  return piece;
}

let idStart = '';
let idPiece = logPiece('');

/** An id of ours is a text of two parts until somebody looks at its characters: to write it as such was nearly half of a line's cost. */
function requestId(page: LogPage, { requestId, requestIdStart, requestIdLast }: ExchangeRecord): void {
  if (requestIdStart === '') {
    page.text(requestId);
    return;
  }
  if (idStart !== requestIdStart) {
    idStart = requestIdStart;
    idPiece = logPiece(`"${requestIdStart}`);
  }
  page.piece(idPiece);
  page.lastHexDigits(requestIdLast);
}

interface OutcomePieces {
  readonly protocol: string;
  readonly flag: string;
  readonly received: Uint8Array;
  readonly noneReceived: Uint8Array;
}

/** By status: what it last came with, and the pieces for that. */
const outcomes: (OutcomePieces | undefined)[] = [];

function outcomeOf({ status, protocol, flag }: ExchangeRecord): OutcomePieces {
  const kept = outcomes[status];
  if (kept !== undefined && kept.protocol === protocol && kept.flag === flag) return kept;
  while (outcomes.length <= status) outcomes.push(undefined);
  const text = `,"protocol":${asciiJson(protocol)},"response_code":${status},"response_flags":${asciiJson(flag)},"bytes_received":`;
  const made = { protocol, flag, received: logPiece(text), noneReceived: logPiece(`${text}0,"bytes_sent":`) };
  outcomes[status] = made;
  return made;
}

/** @param answerMs below 0: null */
function transfer(page: LogPage, record: ExchangeRecord | FlowRecord, answerMs: number): void {
  page.whole(record.bytesSent);
  page.piece(pieces.duration);
  page.thousandths(Math.round(Math.max(0, record.durationMs) * 1000));
  page.piece(pieces.serviceTime);
  if (answerMs < 0) page.piece(pieces.none);
  else page.thousandths(Math.round(answerMs * 1000));
}

/** Of a connection that has had one request: another may follow. */
const nothing = new Uint8Array();
const oneSeen: LoggedClient = { clientAddress: '', userAgent: '', piece: nothing };
/** What is longer is written anew each time: of bytes that are escaped, an idle connection would keep seven times as many as came. */
const longestKept = 512;

/** Who asked. Mostly the same for all requests of a connection: from the second on it is one piece. */
function client(page: LogPage, record: ExchangeRecord): void {
  const { forwardedFor, clientAddress, userAgent, loggedClient } = record;
  if (forwardedFor === '') {
    if (loggedClient === null) record.loggedClient = oneSeen;
    else if (loggedClient === oneSeen) {
      if (userAgent.length <= longestKept) record.loggedClient = loggedAs(clientAddress, userAgent);
    } else if (loggedClient.userAgent === userAgent && loggedClient.clientAddress === clientAddress) {
      page.piece(loggedClient.piece);
      return;
    }
    page.piece(pieces.clientAlone);
  } else {
    page.piece(pieces.forwardedFor);
    page.text(forwardedFor);
    page.piece(pieces.client);
  }
  page.text(clientAddress);
  page.piece(pieces.userAgent);
  page.text(userAgent);
  page.piece(pieces.requestId);
}

function loggedAs(clientAddress: string, userAgent: string): LoggedClient {
  const fields = `,"x_forwarded_for":null,"client_address":${asciiJson(clientAddress)},"user_agent":${asciiJson(userAgent)}`;
  return { clientAddress, userAgent: copyOf(userAgent), piece: logPiece(`${fields},"request_id":`) };
}

/** Where it went, under which name. */
function end(page: LogPage, { authority, serverName }: ExchangeRecord, where: WhereTo): void {
  if (where.authority !== authority || where.serverName !== serverName) {
    const hash = hashOf(authority, authority.length);
    if (where.latestHash !== hash || where.latestServerName !== serverName) {
      where.latestHash = hash;
      where.latestServerName = serverName;
      page.piece(pieces.authority);
      page.text(authority);
      page.piece(where.before);
      page.text(serverName);
      page.piece(where.after);
      return;
    }
    where.authority = copyOf(authority);
    where.serverName = serverName;
    where.whole = joined(authority, serverName, where);
  }
  page.piece(where.whole);
}

function joined(authority: string, serverName: string, { before, after }: WhereTo): Uint8Array {
  const start = logPiece(`,"authority":${asciiJson(authority)}`);
  return new Uint8Array(Buffer.concat([start, before, logPiece(asciiJson(serverName)), after]));
}

/** The end of the line, but for the authority and the server name, which stands in the middle of it. */
interface WhereTo {
  readonly tries: number;
  readonly refusal: string;
  readonly routeId: string;
  readonly backendId: string;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
  /** Of the names that it came with last. */
  latestHash: number;
  latestServerName: string;
  /** Names that it came with twice in a row, and all in one. */
  authority: string;
  serverName: string;
  whole: Uint8Array;
}

/** The same for nearly all requests of a route to one endpoint: the last one is kept. None of it is a piece of a request's head. */
const keptBySource = new WeakMap<Source, Map<string, WhereTo>>();
const mostKeptPerSource = 256;
const latest: { source: Source | null; byHost: Map<string, WhereTo> | undefined } = { source: null, byHost: undefined };

function whereTo(record: ExchangeRecord): WhereTo {
  const { routeSource, upstreamHost, tries, retryRefusal, routeId, backendId } = record;
  if (routeSource === null || record.upstreamFault !== '') return makeWhereTo(record);
  if (latest.source !== routeSource) {
    latest.source = routeSource;
    latest.byHost = keptBySource.get(routeSource);
  }
  let { byHost } = latest;
  const kept = byHost?.get(upstreamHost);
  if (
    kept !== undefined &&
    kept.tries === tries &&
    kept.refusal === retryRefusal &&
    kept.routeId === routeId &&
    kept.backendId === backendId
  ) {
    return kept;
  }
  const made = makeWhereTo(record);
  if (byHost === undefined || byHost.size >= mostKeptPerSource) {
    byHost = latest.byHost = new Map();
    keptBySource.set(routeSource, byHost);
  }
  byHost.set(upstreamHost, made);
  return made;
}

function makeWhereTo(record: ExchangeRecord): WhereTo {
  const { upstreamHost, upstreamFault, tries, retryRefusal, routeId, backendId } = record;
  const fault = upstreamFault === '' ? '' : `,"upstream_transport_failure_reason":${asciiJson(upstreamFault)}`;
  const before =
    `,"upstream_host":${asciiJson(upstreamHost)},"upstream_tries":${tries},"retry_refused":${asciiJson(retryRefusal)}` +
    `${fault},"requested_server_name":`;
  const names = { latestHash: 0, latestServerName: '', authority: ' ', serverName: '', whole: nothing };
  const pieces = { before: logPiece(before), after: logPiece(endOf(record)) };
  return { tries, refusal: retryRefusal, routeId, backendId, ...pieces, ...names };
}

function endOf({ routeId, backendId, routeSource, service }: ExchangeRecord | FlowRecord): string {
  return (
    `,"upstream_cluster":${asciiJson(backendId)}` +
    `,"route_name":${asciiJson(routeId)}` +
    `,"ingress":${asciiJson(routeSource?.kind === 'Ingress' ? routeSource.name : '')}` +
    `,"namespace":${asciiJson(routeSource?.namespace ?? '')}` +
    `,"service":${asciiJson(service?.name ?? '')}` +
    `,"service_port":${asciiJson(service?.port ?? '')}}\n`
  );
}
