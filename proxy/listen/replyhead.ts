import { STATUS_CODES } from 'node:http';
import type { CompiledEdits } from '../filters/compiled.ts';
import type { Exchange } from '../forward/exchange.ts';
import { bodyChunked, bodyNone } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { nameIds } from '../parse/names.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { httpDate } from './date.ts';

/** Hop-by-hop fields of responses (RFC 9110 §7.6.1); framing is written anew where it changes. */
const isDropped = new Uint8Array(64);
for (const name of [
  'connection',
  'transfer-encoding',
  'upgrade',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authentication-info',
] as const) {
  isDropped[nameIds[name]] = 1;
}

/** What a response head goes through on its way to the client; the same for every protocol that the client speaks. */
class ReplyFields {
  #line: ResponseLine | null = null;
  #hsts: string | null = null;
  #routeEdits: CompiledEdits | null = null;
  #backendEdits: CompiledEdits | null = null;
  #ownEdits: CompiledEdits | null = null;
  #isPlain = true;

  /** Makes the object ready for one head. */
  begin(exchange: Exchange, line: ResponseLine): void {
    this.#line = line;
    this.#hsts = exchange.client?.peer.door.hsts ?? null;
    this.#routeEdits = exchange.route?.filters.responseHeaders ?? null;
    this.#backendEdits = exchange.backendFilters?.responseHeaders ?? null;
    this.#ownEdits = exchange.replyEdits;
    this.#isPlain =
      line.nominated === null &&
      this.#routeEdits === null &&
      this.#backendEdits === null &&
      this.#ownEdits === null &&
      this.#hsts === null;
  }

  /** @returns whether the backend's field goes on; Content-Length is the caller's to decide beyond that */
  isKept(head: Head, field: number): boolean {
    return isDropped[head.ids[field] as number] === 0 && (this.#isPlain || this.#isPassed(head, field));
  }

  #isPassed(head: Head, field: number): boolean {
    if (this.#hsts !== null && head.ids[field] === nameIds['strict-transport-security']) return false;
    const name = head.name(field).toLowerCase();
    if (this.#line?.nominated?.includes(name) && !keptThoughNominated.has(name)) return false;
    if (this.#ownEdits?.remove.has(name)) return false;
    return !this.#routeEdits?.remove.has(name) && !this.#backendEdits?.remove.has(name);
  }

  /** Lines `Name: value` CRLF that the gateway adds. */
  added(exchange: Exchange, nowMs: number): string {
    let text = this.#line?.hasDate ? '' : `Date: ${httpDate(nowMs)}\r\n`;
    if (exchange.setCookie !== null) text += `Set-Cookie: ${exchange.setCookie}\r\n`;
    if (this.#hsts !== null) text += `Strict-Transport-Security: ${this.#hsts}\r\n`;
    if (this.#ownEdits !== null) text += this.#ownEdits.lines;
    if (this.#routeEdits !== null) text += this.#routeEdits.lines;
    if (this.#backendEdits !== null) text += this.#backendEdits.lines;
    return text;
  }
}

const fields = new ReplyFields();

/** Head of the response as an HTTP/1 client gets it. `exchange.replyKind` and `willClose` are decided before. */
export function buildReplyHead(exchange: Exchange, line: ResponseLine, head: Head, nowMs: number): string {
  fields.begin(exchange, line);
  // 204 has no length (RFC 9110 §8.6); one that goes out chunked has none either (there is none to drop otherwise).
  const dropsLength = line.status === 204 || exchange.replyKind === bodyChunked;
  // Only a status line of HTTP/1 with a reason, or its space, can be taken over. HTTP/2 has no reasons, and some clients of HTTP/1.1
  // make no status of a line without one (nghttp2's h2load).
  const hasLine = line.lineEnd >= 13;
  let text = hasLine
    ? passedLines(line, head, 'HTTP/1.1', 8, dropsLength)
    : passedLines(line, head, `HTTP/1.1 ${line.status} ${STATUS_CODES[line.status] ?? ''}\r\n`, -1, dropsLength);
  if (exchange.replyKind === bodyChunked) text += 'Transfer-Encoding: chunked\r\n';
  else if (exchange.replyKind === bodyNone && needsLength(exchange, line)) text += 'Content-Length: 0\r\n';
  text += fields.added(exchange, nowMs);
  if (exchange.willClose) text += 'Connection: close\r\n';
  else if (exchange.line.version === 10) text += 'Connection: keep-alive\r\n';
  return `${text}\r\n`;
}

/**
 * Fields of the response as lines `Name: value` CRLF without framing, for a client whose protocol has its own.
 * @param dropsLength the body goes in another length than the backend's
 */
export function buildReplyLines(
  exchange: Exchange,
  line: ResponseLine,
  head: Head,
  nowMs: number,
  dropsLength: boolean,
): string {
  fields.begin(exchange, line);
  return passedLines(line, head, '', -1, dropsLength) + fields.added(exchange, nowMs);
}

/** `before` and the backend's lines that go on; where they pass unchanged they are taken over in runs, the first from `firstRun` on. */
function passedLines(line: ResponseLine, head: Head, before: string, firstRun: number, dropsLength: boolean): string {
  let text = before;
  let runStart = firstRun;
  for (let field = 0; field < head.count; field++) {
    const start = head.nameStarts[field] as number;
    const isLength = head.ids[field] === nameIds['content-length'];
    const isKept = fields.isKept(head, field) && !(dropsLength && isLength);
    if (isKept && head.isCanonical(field) && !(isLength && hasLeadingZero(head, field))) {
      if (runStart === -1) runStart = start;
      continue;
    }
    if (runStart !== -1) {
      text += head.text.slice(runStart, start);
      runStart = -1;
    }
    if (!isKept) continue;
    text += `${head.name(field)}: ${isLength ? String(line.contentLength) : head.value(field)}\r\n`;
  }
  return runStart === -1 ? text : text + head.text.slice(runStart, head.text.length - 2);
}

/** A chunked response to HEAD, or a bodiless one of a 1.0 backend, may come without any length. */
function needsLength(exchange: Exchange, line: ResponseLine): boolean {
  return line.contentLength === -1 && exchange.method !== 'HEAD' && line.status !== 204 && line.status !== 304;
}

function hasLeadingZero(head: Head, field: number): boolean {
  const start = head.valueStarts[field] as number;
  return head.text.charCodeAt(start) === 48 && (head.valueEnds[field] as number) - start > 1;
}

/** A backend's Connection field cannot take away what frames the message or belongs to the user. */
const keptThoughNominated: ReadonlySet<string> = new Set([
  'content-length',
  'content-type',
  'set-cookie',
  'cache-control',
]);

/** Fields of a 101 as lines `Name: value` CRLF, but for those that speak of the connection. */
export function buildSwitchLines(exchange: Exchange, line: ResponseLine, head: Head): string {
  let text = '';
  for (let field = 0; field < head.count; field++) {
    const id = head.ids[field] as number;
    if (isDropped[id] === 1 || id === nameIds['content-length']) continue;
    if (line.nominated?.includes(head.name(field).toLowerCase())) continue;
    text += `${head.name(field)}: ${head.value(field)}\r\n`;
  }
  if (exchange.setCookie !== null) text += `Set-Cookie: ${exchange.setCookie}\r\n`;
  return text;
}

/** Fields of an interim answer as lines: what 103 is about, and nothing of others (RFC 8297 §2). */
export function buildInterimLines(line: ResponseLine, head: Head): string {
  if (line.status !== 103) return '';
  let text = '';
  for (let field = 0; field < head.count; field++) {
    if (head.name(field).toLowerCase() === 'link') text += `Link: ${head.value(field)}\r\n`;
  }
  return text;
}
