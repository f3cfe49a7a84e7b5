import type { Exchange } from '../forward/exchange.ts';
import { normalisePath } from '../match/normalise.ts';
import { parseAuthority } from '../parse/authority.ts';
import { bodyChunked, bodyLength, bodyNone, isChunked, parseLength } from '../parse/framing.ts';
import { nameIds } from '../parse/names.ts';
import { grpcTimeoutMs } from './grpc.ts';
import { type Refusal, refusals } from './refusals.ts';
import { giveRequestId, isSaneRequestId } from './requestid.ts';

/**
 * Reads what a parsed head means: framing, host, target, persistence, expectations. Everything ambiguous is refused here,
 * before a route, let alone a backend, is looked for.
 */
export function interpretRequest(exchange: Exchange): Refusal | null {
  const head = exchange.head;
  let host = -1;
  let hosts = 0;
  let lengths = 0;
  let codings = 0;
  let optionBytes = 0;
  let upgrade = -1;
  let hasUpgradeOption = false;
  let hasKeepAliveOption = false;
  let expect = -1;
  let hasSocketKey = false;
  for (let field = 0; field < head.count; field++) {
    switch (head.ids[field]) {
      case nameIds.host:
        hosts++;
        host = field;
        break;
      case nameIds['content-length']:
        lengths++;
        exchange.contentLength = parseLength(head, field);
        break;
      case nameIds['transfer-encoding']:
        codings++;
        if (!isChunked(head, field)) return refusals.coding;
        break;
      case nameIds.connection: {
        const value = head.value(field);
        optionBytes += value.length;
        if (optionBytes > mostOptionBytes) return refusals.connection;
        const options = readConnection(exchange, value);
        hasUpgradeOption ||= (options & optionUpgrade) !== 0;
        hasKeepAliveOption ||= (options & optionKeepAlive) !== 0;
        if ((options & optionClose) !== 0) exchange.isKeepAlive = false;
        break;
      }
      case nameIds.upgrade:
        upgrade = field;
        break;
      case nameIds.expect:
        expect = field;
        break;
      case nameIds['sec-websocket-key']:
        hasSocketKey = true;
        break;
      default:
        readField(exchange, field);
    }
  }
  chooseRequestId(exchange);

  const isOne = exchange.line.version === 11;
  // A 1.0 client gets keep-alive only by asking (RFC 9112 §9.3).
  if (!isOne && !hasKeepAliveOption) exchange.isKeepAlive = false;
  if (lengths > 1 || (lengths === 1 && exchange.contentLength < 0)) return refusals.contentLength;
  if (codings > 1 || (codings === 1 && (lengths > 0 || !isOne))) return refusals.transferEncoding;
  exchange.bodyKind = codings === 1 ? bodyChunked : exchange.contentLength > 0 ? bodyLength : bodyNone;
  exchange.isRequestComplete = exchange.bodyKind === bodyNone;

  if (hosts > 1 || (hosts === 0 && isOne)) return refusals.host;
  const hostText = hosts === 0 ? '' : head.value(host);
  const refused = readTarget(exchange, hostText, hosts === 1);
  if (refused !== null) return refused;

  if (expect !== -1 && isOne) {
    if (head.value(expect).toLowerCase() !== '100-continue') return refusals.expectation;
    exchange.expectsContinue = exchange.bodyKind !== bodyNone;
  }
  // Only websocket, only as a plain GET on 1.1: other protocols are stripped and the request stays plain HTTP.
  exchange.wantsWebSocket =
    upgrade !== -1 &&
    hasUpgradeOption &&
    isOne &&
    hasSocketKey &&
    exchange.bodyKind === bodyNone &&
    exchange.method === 'GET' &&
    head.value(upgrade).toLowerCase() === 'websocket';
  return null;
}

/** A field that means the same in every version of HTTP. */
export function readField(exchange: Exchange, field: number): void {
  const { head } = exchange;
  switch (head.ids[field]) {
    case nameIds['max-forwards']:
      exchange.maxForwards = parseMaxForwards(head.value(field));
      break;
    case nameIds['grpc-timeout']:
      exchange.grpcTimeoutMs = grpcTimeoutMs(head.value(field));
      break;
    case nameIds['x-request-id']:
      exchange.requestId = head.value(field);
  }
}

/** The client's, or one of our own. */
export function chooseRequestId(exchange: Exchange): void {
  if (exchange.requestId === '' || !isSaneRequestId(exchange.requestId)) giveRequestId(exchange);
}

function readTarget(exchange: Exchange, hostText: string, hasHost: boolean): Refusal | null {
  const target = exchange.head.text.slice(exchange.line.targetStart, exchange.line.targetEnd);
  let origin = target;
  let authorityText = hostText;
  // A Host that is not one is refused even where the target's authority would replace it.
  const fromHost = parseAuthority(hostText);
  if (fromHost === null && hasHost) return refusals.host;
  if (target.charCodeAt(0) !== 0x2f) {
    if (target === '*') {
      if (exchange.method !== 'OPTIONS') return refusals.target;
    } else {
      const parts = /^https?:\/\/([^/?]+)(.*)$/i.exec(target);
      if (parts === null) return refusals.target;
      authorityText = parts[1] as string;
      origin = parts[2] as string;
      if (!origin.startsWith('/')) origin = `/${origin}`;
    }
  }
  if (authorityText !== '') {
    const authority = authorityText === hostText ? fromHost : parseAuthority(authorityText);
    if (authority === null) return refusals.target;
    exchange.authority = authority.text;
    exchange.hostname = authority.hostname;
  }
  return readOrigin(exchange, origin);
}

/** @param origin path and query, or `*` */
export function readOrigin(exchange: Exchange, origin: string): Refusal | null {
  exchange.target = origin;
  const question = origin.indexOf('?');
  // The asterisk means the host as a whole (RFC 9112 §3.2.4); a redirect would put it behind the host's name.
  exchange.rawPath = origin === '*' ? '/' : question === -1 ? origin : origin.slice(0, question);
  exchange.query = question === -1 ? '' : origin.slice(question + 1);
  const path = normalisePath(exchange.rawPath);
  if (path === null) return refusals.path;
  exchange.path = path;
  return null;
}

/** Every other field is looked up among the options: thousands of them cost six times as much as all the rest of a request. */
const mostOptionBytes = 1_024;

const optionClose = 1;
const optionKeepAlive = 2;
const optionUpgrade = 4;

/** Reads one Connection field (RFC 9110 §7.6.1): well-known options as bits, other names into `nominated`. */
function readConnection(exchange: Exchange, value: string): number {
  if (value === 'keep-alive') return optionKeepAlive;
  if (value === 'close') return optionClose;
  let options = 0;
  for (const part of value.toLowerCase().split(',')) {
    const option = part.trim();
    if (option === 'close') options |= optionClose;
    else if (option === 'keep-alive') options |= optionKeepAlive;
    else if (option === 'upgrade') options |= optionUpgrade;
    else if (option !== '') {
      exchange.nominated ??= [];
      exchange.nominated.push(option);
    }
  }
  return options;
}

/** -1 for what is not a number: such a field is ignored and not forwarded. */
function parseMaxForwards(value: string): number {
  return /^\d{1,9}$/.test(value) ? Number(value) : -1;
}
