import { isKnownMethod } from '#kit/methods.ts';
import type { Limits } from '../listen/limits.ts';
import { httpOne, isTargetByte } from './chars.ts';
import { badSyntax, type Head, needsMore, readSection, tooManyFields } from './head.ts';
import { latin1 } from './latin1.ts';

/** Further refusals of a request head, beside those of head.ts. */
export const unknownMethod = -3;
export const badVersion = -4;
export const lineTooLong = -5;
export const headTooLong = -6;
export { needsMore, tooManyFields };

/** The first line of a request head: where it is, and what it says. Fields are in `head`. */
export class RequestLine {
  /** Also of a head that is refused for what follows it; '' where it is not read. */
  method = '';
  /** Offsets of the target in the head's text. */
  targetStart = 0;
  targetEnd = 0;
  /** 11 for HTTP/1.1, 10 for HTTP/1.0, 20 for HTTP/2, which has no such line. */
  version = 11;
}

/**
 * Parses one request head strictly (RFC 9112 §3): `method SP target SP HTTP/1.x CRLF`, single spaces, CRLF only.
 * One empty line before it is skipped (§2.2) and never forwarded.
 *
 * @returns the offset after the head, needsMore, or a negative refusal. `head.text` is set on success only.
 */
export function parseRequestHead(
  line: RequestLine,
  head: Head,
  buffer: Buffer,
  start: number,
  end: number,
  limits: Limits,
): number {
  line.method = '';
  let base = start;
  if (buffer[base] === 0x0d) {
    if (end - base < 2) return needsMore;
    if (buffer[base + 1] !== 0x0a) return badSyntax;
    base += 2;
    if (base === end) return needsMore;
  }
  const lineLimit = Math.min(end, base + limits.requestLineBytes);
  let i = base;
  if (
    end - base > 4 &&
    buffer[base] === 0x47 &&
    buffer[base + 1] === 0x45 &&
    buffer[base + 2] === 0x54 &&
    buffer[base + 3] === 0x20
  ) {
    line.method = 'GET';
    i = base + 3;
  } else {
    while (i < lineLimit && i - base < 20 && isMethodByte(buffer[i] as number)) i++;
    if (i === lineLimit) return needsMore;
    if (i === base || (buffer[i] !== 0x20 && i - base < 20)) return badSyntax;
    line.method = latin1(buffer, base, i);
    if (buffer[i] !== 0x20) return badSyntax;
    if (i + 1 === lineLimit) return needsMore;
    // Only a line that is at least shaped like a request gets the courtesy of 501; garbage is 400.
    if (!isKnownMethod(line.method)) return isTargetStart(buffer[i + 1] as number) ? unknownMethod : badSyntax;
  }
  const targetStart = ++i;
  while (i < lineLimit && isTargetByte[buffer[i] as number] === 1) i++;
  if (i === lineLimit) return lineLimit === end && end - base < limits.requestLineBytes ? needsMore : lineTooLong;
  if (buffer[i] !== 0x20 || i === targetStart) return badSyntax;
  line.targetStart = targetStart - base;
  line.targetEnd = i - base;
  i++;
  for (let v = 0; v < 7; v++) {
    if (i + v >= end) return needsMore;
    if (buffer[i + v] !== httpOne[v]) return badVersionOf(buffer, i, end);
  }
  i += 7;
  if (end - i < 3) return needsMore;
  const minor = (buffer[i] as number) - 0x30;
  if ((minor !== 0 && minor !== 1) || buffer[i + 1] !== 0x0d || buffer[i + 2] !== 0x0a) {
    return badVersionOf(buffer, i - 7, end);
  }
  line.version = 10 + minor;
  const after = readSection(head, buffer, base, i + 3, Math.min(end, base + limits.headBytes), limits.headFields);
  return after === needsMore && end - base >= limits.headBytes ? headTooLong : after;
}

function isMethodByte(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || byte === 0x2d || byte === 0x5f || (byte >= 0x61 && byte <= 0x7a);
}

function isTargetStart(byte: number): boolean {
  return byte === 0x2f || byte === 0x2a;
}

/** 505 is for other versions of HTTP, however they come; a line that goes on in another way is malformed. */
function badVersionOf(buffer: Buffer, start: number, end: number): number {
  const seen = latin1(buffer, start, Math.min(end, start + 10));
  if (/^HTTP\/\d\.\d\r\n$/.test(seen)) return badVersion;
  return /^HTTP\/\d(?:\.(?:\d\r?)?)?$/.test(seen) ? needsMore : badSyntax;
}

/**
 * Whether a head that is not whole is no more than an empty line, or the first half of one: some clients end a body with one that is not
 * part of it, and have begun nothing by it (RFC 9112 §2.2).
 */
export function isEmptyLine(buffer: Buffer, start: number, end: number): boolean {
  return end - start <= 2 && buffer[start] === 0x0d;
}
