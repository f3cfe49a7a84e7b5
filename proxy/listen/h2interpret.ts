import { randomBytes } from 'node:crypto';
import { isKnownMethod } from '#kit/methods.ts';
import type { Exchange } from '../forward/exchange.ts';
import type { FieldSection } from '../frame/section.ts';
import { parseAuthority } from '../parse/authority.ts';
import { bodyChunked, bodyLength, bodyNone } from '../parse/framing.ts';
import { nameIds } from '../parse/names.ts';
import { chooseRequestId, readField, readOrigin } from './interpret.ts';
import type { Limits } from './limits.ts';
import { type Refusal, refusals } from './refusals.ts';

/**
 * Reads what a request of HTTP/2 means (RFC 9113 §8.3.1), by the same rules as one of HTTP/1.1. It is well-formed already;
 * its fields are in `exchange.head`. What `:scheme` says is not believed: the connection knows.
 *
 * @param isEnd it has no body
 */
export function interpretStream(
  exchange: Exchange,
  section: FieldSection,
  isEnd: boolean,
  { requestLineBytes }: Limits,
): Refusal | null {
  if (section.isTooLarge) return refusals.headTooLong;
  const { head } = exchange;
  let host = -1;
  let hosts = 0;
  let expect = -1;
  let hasSocketKey = false;
  for (let field = 0; field < head.count; field++) {
    switch (head.ids[field]) {
      case nameIds.host:
        hosts++;
        host = field;
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
  readBody(exchange, section.contentLength, isEnd);
  // A backend of HTTP/1.1 gets such a line, and is spared one that is longer than it has room for, whoever asks.
  if (section.method.length + 1 + section.path.length >= requestLineBytes) return refusals.lineTooLong;

  if (exchange.method === 'CONNECT') {
    if (section.protocol !== 'websocket') return refusals.method;
    if (isEnd) return refusals.target;
    beginWebSocket(exchange);
    if (!hasSocketKey) exchange.webSocketKey = randomBytes(16).toString('base64');
  } else if (!isKnownMethod(exchange.method)) return refusals.method;

  if (hosts > 1 || (hosts === 0 && section.authority === '')) return refusals.host;
  const sent = section.authority === '' ? head.value(host) : section.authority;
  const authority = parseAuthority(sent);
  if (authority === null) return refusals.host;
  // Two names for one thing: whoever routes by the other one would be led astray (RFC 9113 §8.3.1).
  if (hosts === 1 && parseAuthority(head.value(host))?.text !== authority.text) return refusals.host;
  exchange.authority = authority.text;
  exchange.hostname = authority.hostname;
  if (expect !== -1) {
    if (head.value(expect).toLowerCase() !== '100-continue') return refusals.expectation;
    exchange.expectsContinue = exchange.bodyKind !== bodyNone;
  }
  return readOrigin(exchange, section.path);
}

/** A body whose length nobody told is framed on the way on: bytes without a frame would be the next request. */
function readBody(exchange: Exchange, contentLength: number, isEnd: boolean): void {
  exchange.contentLength = Math.max(contentLength, 0);
  exchange.bodyKind = isEnd || contentLength === 0 ? bodyNone : contentLength === -1 ? bodyChunked : bodyLength;
  exchange.isRequestComplete = exchange.bodyKind === bodyNone;
}

/**
 * RFC 8441 §5: to an HTTP/1.1 backend it is a GET with a key, which HTTP/2 has no use for. Envoy and HAProxy pass on the one of their
 * client of HTTP/1.1 all the same, and Envoy has no proof for that client but the backend's.
 */
function beginWebSocket(exchange: Exchange): void {
  exchange.method = 'GET';
  exchange.wantsWebSocket = true;
  exchange.bodyKind = bodyNone;
  exchange.isRequestComplete = true;
}
