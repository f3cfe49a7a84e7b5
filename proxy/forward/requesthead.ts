import type { CompiledEdits } from '../filters/compiled.ts';
import { forwardedForOf, forwardedHostOf, forwardedPortOf } from '../listen/forwarded.ts';
import { hashOf } from '../match/textindex.ts';
import { traceparentOf } from '../observe/tracecontext.ts';
import { bodyChunked, bodyLength, bodyNone } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { copyOf, inOnePiece } from '../parse/latin1.ts';
import { nameIds } from '../parse/names.ts';
import { announcedTrailers } from '../parse/trailers.ts';
import type { Exchange } from './exchange.ts';
import type { Peer } from './sides.ts';

/** What the gateway says of a request's way to it (forwardingLines). */
const forwardingNames = [
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-scheme',
  'x-scheme',
  'x-real-ip',
  'x-request-id',
  'x-original-forwarded-for',
] as const;

/** Fields that never reach a backend as the client sent them: hop-by-hop, framing, and what the gateway itself asserts. */
const isDropped = new Uint8Array(64);
for (const name of [
  ...forwardingNames,
  'underscore',
  'odd',
  'host',
  'connection',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'proxy',
  'http2-settings',
  'forwarded',
  'max-forwards',
] as const) {
  isDropped[nameIds[name]] = 1;
}

/**
 * What is known of a client's certificate (listen/clientpolicy.ts). A trusted peer that ends TLS itself may say so, of hosts that
 * ask for none here; from everybody else it would be a lie that backends believe.
 */
const asserted = 2;
for (const name of ['ssl-client-verify', 'ssl-client-subject-dn', 'ssl-client-issuer-dn', 'ssl-client-cert'] as const) {
  isDropped[nameIds[name]] = asserted;
}

/**
 * What proxies tell of the way to them beyond what the gateway knows. Backends make links, redirects and identities of it, so only a
 * trusted peer may say it.
 */
const told = 3;
for (const name of ['prefix', 'ssl', 'protocol', 'server', 'client-cert'] as const) {
  isDropped[nameIds[`x-forwarded-${name}`]] = told;
}

/** Of requests that are traced, the gateway says what their place in the trace is. */
const placed = 4;
const placedWithState = 5;
isDropped[nameIds.traceparent] = placed;
isDropped[nameIds.tracestate] = placedWithState;

/** Nominating these does not remove them: they are end-to-end, or the gateway's own word (RFC 9110 §7.6.1). */
const keptThoughNominated: ReadonlySet<string> = new Set(['authorization', 'cookie', 'cache-control', 'content-type']);

/** Path and query as the backend sees them. */
function targetOf(exchange: Exchange): string {
  const rewrite = exchange.backendFilters?.path ?? exchange.route?.filters.path ?? null;
  if (rewrite === null) return exchange.target;
  const path = rewrite(exchange);
  return exchange.query === '' && !exchange.target.endsWith('?') ? path : `${path}?${exchange.query}`;
}

/** Host as the backend sees it. */
function hostOf(exchange: Exchange): string {
  const named = exchange.backendFilters?.host ?? exchange.route?.filters.host ?? null;
  if (named !== null) return named;
  // A 1.0 client may leave Host out; the backend's own name is then the best there is (RFC 9112 §3.2).
  return exchange.authority === '' ? (exchange.backend?.row.tls?.serverName ?? '') : exchange.authority;
}

/** Header edits of the route's and the backend's filters, in order of effect. */
function requestEdits(exchange: Exchange): readonly CompiledEdits[] {
  const ofRoute = exchange.route?.filters.requestHeaders ?? null;
  const ofBackend = exchange.backendFilters?.requestHeaders ?? null;
  if (ofRoute === null && ofBackend === null) return noEdits;
  return [ofRoute, ofBackend].filter((edit) => edit !== null);
}

const noEdits: readonly CompiledEdits[] = [];

/** The head that an HTTP/1.1 backend gets, built from validated parts. Lines that pass unchanged are taken over in runs. */
export function buildRequestHead(exchange: Exchange): string {
  const edits = requestEdits(exchange);
  let text = `${exchange.method} ${targetOf(exchange)}${linesOfHost(exchange, edits)}${exchange.proofLines}`;
  if (exchange.trace !== null) text += `Traceparent: ${traceparentOf(exchange.trace)}\r\n`;
  if (exchange.bodyKind === bodyLength) text += `Content-Length: ${exchange.contentLength}\r\n`;
  else if (exchange.bodyKind === bodyChunked) text += `Transfer-Encoding: chunked\r\n${trailerLine(exchange)}`;
  else if (needsZeroLength(exchange.method)) text += 'Content-Length: 0\r\n';
  if (exchange.wantsWebSocket) text += 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  // We take trailers from whoever sends any, but hyper sends none unasked (RFC 9110 §6.5.1, §10.1.4).
  else if (acceptsTrailers(exchange.head)) text += 'Connection: TE\r\nTE: trailers\r\n';
  if (exchange.webSocketKey !== '') text += `Sec-WebSocket-Key: ${exchange.webSocketKey}\r\n`;
  if (exchange.expectsContinue) text += 'Expect: 100-continue\r\n';
  if (exchange.maxForwards > 0) text += `Max-Forwards: ${exchange.maxForwards - 1}\r\n`;
  text += passedLines(exchange, edits);
  for (const edit of edits) text += edit.lines;
  return `${text}\r\n`;
}

/**
 * What follows the target, with Host and X-Forwarded-* and kin. Clients mostly ask for one host: from the second time in a row on,
 * all of it but the id is one piece.
 */
function linesOfHost(exchange: Exchange, edits: readonly CompiledEdits[]): string {
  const host = hostOf(exchange);
  const peer = exchange.client?.peer;
  const isPlain = host === exchange.authority && edits.length === 0 && exchange.forwardedFor === '';
  if (!isPlain || peer?.isTrusted !== false) return ` HTTP/1.1\r\nHost: ${host}\r\n${forwardingLines(exchange, edits)}`;
  if (peer.host !== host) {
    const lines = ` HTTP/1.1\r\nHost: ${host}\r\nX-Forwarded-Host: ${host}\r\n${linesOfPeer(peer)}`;
    const hash = hashOf(host, host.length);
    if (peer.hostHash !== hash) {
      peer.hostHash = hash;
      return `${lines}${exchange.requestId}\r\n`;
    }
    peer.host = copyOf(host);
    peer.hostLines = inOnePiece(lines);
  }
  return `${peer.hostLines}${exchange.requestId}\r\n`;
}

/** Pseudo-header fields of the request, as an HTTP/2 backend gets them (RFC 9113 §8.3.1). */
export function requestPseudos(exchange: Exchange, scheme: 'http' | 'https'): readonly string[] {
  return [
    `:method: ${exchange.method}`,
    `:scheme: ${scheme}`,
    `:authority: ${hostOf(exchange)}`,
    `:path: ${targetOf(exchange)}`,
  ];
}

/** All other fields for an HTTP/2 backend, as lines `name: value` CRLF. */
export function buildRequestFields(exchange: Exchange): string {
  const edits = requestEdits(exchange);
  let text = forwardingLines(exchange, edits) + exchange.proofLines;
  if (exchange.trace !== null) text += `traceparent: ${traceparentOf(exchange.trace)}\r\n`;
  if (exchange.bodyKind === bodyLength) text += `content-length: ${exchange.contentLength}\r\n`;
  else if (exchange.bodyKind === bodyNone && needsZeroLength(exchange.method)) text += 'content-length: 0\r\n';
  if (exchange.bodyKind !== bodyNone) text += trailerLine(exchange);
  // gRPC servers ask for it; it is the one value that may pass (RFC 9113 §8.2.2).
  if (acceptsTrailers(exchange.head)) text += 'te: trailers\r\n';
  if (exchange.maxForwards > 0) text += `max-forwards: ${exchange.maxForwards - 1}\r\n`;
  text += passedLines(exchange, edits);
  for (const edit of edits) text += edit.lines;
  return text;
}

function trailerLine({ head, nominated }: Exchange): string {
  const names = announcedTrailers(head);
  return names === '' || nominated?.includes('trailer') ? '' : `Trailer: ${names}\r\n`;
}

function acceptsTrailers(head: Head): boolean {
  return head.find(nameIds.te) !== -1 && /(?:^|[\s,])trailers(?:$|[\s,;])/i.test(head.get('te') ?? '');
}

/** A method that usually has a body says so when it has none (RFC 9110 §8.6): some servers answer 411 otherwise. */
function needsZeroLength(method: string): boolean {
  return method === 'POST' || method === 'PUT' || method === 'PATCH';
}

/** The client's own fields that go on, as lines; names of edits and of Connection are left out. */
function passedLines(exchange: Exchange, edits: readonly CompiledEdits[]): string {
  const head = exchange.head;
  const isPlain = exchange.nominated === null && edits.length === 0;
  const isTrusted = exchange.client?.peer.isTrusted === true;
  const last = head.text.length - 2;
  let text = '';
  let runStart = -1;
  for (let field = 0; field < head.count; field++) {
    const start = head.nameStarts[field] as number;
    const drop = isDropped[head.ids[field] as number] as number;
    const isAllowed = drop === 0 || (drop > 1 && isSayable(exchange, drop, isTrusted));
    const isKept = isAllowed && (isPlain || isPassed(exchange, edits, field));
    if (isKept && head.isCanonical(field)) {
      if (runStart === -1) runStart = start;
      continue;
    }
    if (runStart !== -1) {
      text += head.text.slice(runStart, start);
      runStart = -1;
    }
    if (isKept) text += `${head.name(field)}: ${head.value(field)}\r\n`;
  }
  return runStart === -1 ? text : text + head.text.slice(runStart, last);
}

/** @param drop asserted, told, placed or placedWithState */
function isSayable({ proofLines, trace }: Exchange, drop: number, isTrusted: boolean): boolean {
  if (drop < placed) return isTrusted && (drop === told || proofLines === '');
  // Of a request that is not traced, and the state of a trace that goes on.
  return trace === null || (drop === placedWithState && trace.parentId !== '');
}

function isPassed(exchange: Exchange, edits: readonly CompiledEdits[], field: number): boolean {
  const name = exchange.head.name(field).toLowerCase();
  if (exchange.nominated?.includes(name) && !keptThoughNominated.has(name)) return false;
  return !isRemoved(edits, name);
}

function isRemoved(edits: readonly CompiledEdits[], name: string): boolean {
  for (const edit of edits) if (edit.remove.has(name)) return true;
  return false;
}

/**
 * X-Forwarded-* and kin. From an untrusted peer they are the same for every request of the connection, but for the host and
 * the id, so most of the text is made once per connection.
 */
function forwardingLines(exchange: Exchange, edits: readonly CompiledEdits[]): string {
  const client = exchange.client;
  if (client === null) return '';
  if (edits.some((edit) => forwardingNames.some((name) => edit.remove.has(name)))) {
    return forwardingLinesOf(exchange)
      .split('\r\n')
      .filter((line) => line !== '' && !isRemoved(edits, line.slice(0, line.indexOf(':')).toLowerCase()))
      .map((line) => `${line}\r\n`)
      .join('');
  }
  return forwardingLinesOf(exchange);
}

function forwardingLinesOf(exchange: Exchange): string {
  const client = exchange.client as NonNullable<Exchange['client']>;
  const { peer } = client;
  const said = exchange.forwardedFor;
  if (peer.isTrusted) {
    const head = exchange.head;
    const port = forwardedPortOf(head.get('x-forwarded-port') ?? '') ?? peer.port;
    const host = forwardedHostOf(head.get('x-forwarded-host') ?? '') ?? exchange.authority;
    const chain = forwardedForOf(peer.address, said, peer.door.isTrusted);
    const lines = fixedLines(chain, exchange.clientAddress, exchange.scheme, port);
    return `X-Forwarded-Host: ${host}\r\n${lines}${exchange.requestId}\r\n`;
  }
  // What an untrusted client claims is told apart from what is known, as ingress-nginx does.
  const claimed = said === '' ? '' : `X-Original-Forwarded-For: ${said}\r\n`;
  return `X-Forwarded-Host: ${exchange.authority}\r\n${claimed}${linesOfPeer(peer)}${exchange.requestId}\r\n`;
}

function linesOfPeer(peer: Peer): string {
  if (peer.forwardedLines === '') {
    peer.forwardedLines = inOnePiece(fixedLines(peer.address, peer.address, peer.scheme, peer.port));
  }
  return peer.forwardedLines;
}

/** All but the id, for which the last one waits. */
function fixedLines(chain: string, address: string, scheme: string, port: number): string {
  return (
    `X-Forwarded-For: ${chain}\r\nX-Real-IP: ${address}\r\nX-Forwarded-Proto: ${scheme}\r\n` +
    `X-Forwarded-Scheme: ${scheme}\r\nX-Scheme: ${scheme}\r\nX-Forwarded-Port: ${port}\r\nX-Request-ID: `
  );
}
