import type { Limits } from '../listen/limits.ts';
import { httpOne, isValueByte } from './chars.ts';
import { bodyChunked, bodyLength, bodyNone, bodyUntilClose, isChunked, parseLength } from './framing.ts';
import { badSyntax, type Head, needsMore, readSection } from './head.ts';
import { nameIds } from './names.ts';

/** What a response head says about its message. Reused. */
export class ResponseLine {
  status = 0;
  minor = 1;
  /** Offset of the CR that ends the status line. */
  lineEnd = 0;
  bodyKind = bodyNone;
  contentLength = -1;
  /** The connection can be used again after this message. */
  isKeepAlive = true;
  /** `Keep-Alive: timeout`, ms; -1 when not said. */
  keepAliveMs = -1;
  isUpgrade = false;
  hasDate = false;
  nominated: string[] | null = null;
}

/**
 * Parses one response head (RFC 9112 §4).
 * @returns the offset after it, needsMore, or a negative refusal
 */
export function parseResponseHead(
  line: ResponseLine,
  head: Head,
  buffer: Buffer,
  start: number,
  end: number,
  limits: Limits,
): number {
  if (end - start < 14) {
    for (let i = start; i < end && i - start < 7; i++) if (buffer[i] !== httpOne[i - start]) return badSyntax;
    return needsMore;
  }
  for (let i = 0; i < 7; i++) if (buffer[start + i] !== httpOne[i]) return badSyntax;
  const minor = (buffer[start + 7] as number) - 48;
  if ((minor !== 0 && minor !== 1) || buffer[start + 8] !== 0x20) return badSyntax;
  let status = 0;
  for (let i = start + 9; i < start + 12; i++) {
    const digit = (buffer[i] as number) - 48;
    if (digit < 0 || digit > 9) return badSyntax;
    status = status * 10 + digit;
  }
  let i = start + 12;
  // The space before an empty reason is required by the grammar and left out by many.
  if (status < 100 || (buffer[i] !== 0x20 && buffer[i] !== 0x0d)) return badSyntax;
  const limit = Math.min(end, start + limits.responseHeadBytes);
  while (i < limit && isValueByte[buffer[i] as number] === 1) i++;
  if (i + 1 >= limit) return limit === end ? needsMore : badSyntax;
  if (buffer[i] !== 0x0d || buffer[i + 1] !== 0x0a) return badSyntax;
  line.status = status;
  line.minor = minor;
  line.lineEnd = i - start;
  const after = readSection(head, buffer, start, i + 2, limit, limits.responseHeadFields);
  return after === needsMore && end - start >= limits.responseHeadBytes ? badSyntax : after;
}

/**
 * Reads framing and persistence (RFC 9112 §6.3, §9.3). Framing that two readers could take differently is refused, because
 * the next answer on this connection would be somebody else's.
 *
 * @returns false when it is refused
 */
export function interpretResponse(line: ResponseLine, head: Head, isHead: boolean): boolean {
  line.contentLength = -1;
  line.isKeepAlive = line.minor === 1;
  line.keepAliveMs = -1;
  line.hasDate = line.isUpgrade = false;
  line.nominated = null;
  let lengths = 0;
  let codings = 0;
  for (let field = 0; field < head.count; field++) {
    switch (head.ids[field]) {
      case nameIds['content-length']:
        lengths++;
        line.contentLength = parseLength(head, field);
        break;
      case nameIds['transfer-encoding']:
        codings++;
        if (!isChunked(head, field)) return false;
        break;
      case nameIds.connection:
        readConnection(line, head.value(field));
        break;
      case nameIds['keep-alive']:
        line.keepAliveMs = keepAliveMsOf(head.value(field));
        break;
      case nameIds.upgrade:
        line.isUpgrade = head.value(field).toLowerCase() === 'websocket';
        break;
      case nameIds.date:
        line.hasDate = true;
        break;
    }
  }
  if (lengths > 1 || (lengths === 1 && line.contentLength < 0)) return false;
  if (codings > 1 || (codings === 1 && (lengths > 0 || line.minor === 0))) return false;
  // A body that there must not be (RFC 9110 §8.6, RFC 9112 §6.1) may come later, and would be the answer to the next request.
  if ((line.status < 200 || line.status === 204) && (codings === 1 || line.contentLength > 0)) line.isKeepAlive = false;
  // That it would have been chunked is allowed, and what sends it mostly sends the last chunk, too.
  if (line.status === 304 && codings === 1) line.isKeepAlive = false;
  if (isHead || line.status < 200 || line.status === 204 || line.status === 304) line.bodyKind = bodyNone;
  else if (codings === 1) line.bodyKind = bodyChunked;
  else if (lengths === 1) line.bodyKind = line.contentLength === 0 ? bodyNone : bodyLength;
  else line.bodyKind = bodyUntilClose;
  return true;
}

function readConnection(line: ResponseLine, value: string): void {
  if (value === 'keep-alive') return;
  for (const part of value.toLowerCase().split(',')) {
    const option = part.trim();
    if (option === 'close') line.isKeepAlive = false;
    else if (option !== '' && option !== 'keep-alive' && option !== 'upgrade') {
      line.nominated ??= [];
      line.nominated.push(option);
    }
  }
}

function keepAliveMsOf(value: string): number {
  const seconds = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(value)?.[1];
  return seconds === undefined ? -1 : Number(seconds) * 1000;
}
