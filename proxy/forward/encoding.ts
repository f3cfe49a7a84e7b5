import type { CompiledEdits } from '../filters/compiled.ts';
import { type CompiledCompression, chooseEncoding, type Encoding } from '../filters/compression.ts';
import { isGrpcType } from '../listen/grpc.ts';
import { bodyLength, bodyNone } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { nameIds } from '../parse/names.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { encoderBytes, ReplyEncoder } from './encoder.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';

/**
 * Decides whether this response is compressed, and what its head says of it: Vary on all that might have been, whoever asks
 * (RFC 9110 §12.5.5); Content-Encoding, a weak ETag (§8.8.1: the bytes are other bytes) and no length on those that are.
 */
export function beginEncoding(
  engine: Engine,
  exchange: Exchange,
  compression: CompiledCompression,
  line: ResponseLine,
  head: Head,
): void {
  const type = head.get('content-type') ?? '';
  if (line.status === 304) {
    const isCovered = compression.for(type, -1).length > 0 && isEligible(exchange, line, head);
    exchange.replyEdits = editsOfUnchanged(exchange, head, isCovered);
    return;
  }
  // The head of an answer to HEAD is that to GET (§9.3.2), or caches would take what they have for outdated (RFC 9111 §4.3.5).
  const isHead = exchange.method === 'HEAD';
  const hasLength = line.bodyKind === bodyLength || isHead;
  const encodings = compression.for(type, hasLength ? line.contentLength : -1);
  if (encodings.length === 0 || !(isHead ? hasBodyForGet(line) : line.bodyKind !== bodyNone)) return;
  if (!isEligible(exchange, line, head)) return;
  const vary = varies(exchange, head) ? '' : varyLine;
  const encoding = chooseEncoding(encodings, exchange.header('accept-encoding') ?? '');
  if (encoding === null || !hasEncoder(engine, encoding)) {
    if (vary !== '') exchange.replyEdits = { remove: nothing, lines: vary };
    return;
  }
  const tag = isTaken(exchange, 'etag') ? undefined : head.get('etag');
  const lines = `Content-Encoding: ${encoding.name}\r\n${tag === undefined ? '' : `ETag: ${weakened(tag)}\r\n`}${vary}`;
  exchange.replyEdits = { remove: replaced, lines } satisfies CompiledEdits;
  if (!isHead) exchange.encoder = new ReplyEncoder(engine, exchange, encoding, line.bodyKind !== bodyLength);
}

/** Of what compressors have, V8 counts a small part; and one that is given up stays until a thread is done with what it was given. */
function hasEncoder({ encoders, limits, pressure }: Engine, encoding: Encoding): boolean {
  if (encoders.open >= limits.encoders || pressure.isTight) return false;
  return limits.memoryBytes === 0 || encoders.bytes + encoderBytes(encoding) <= limits.memoryBytes * mostOfMemory;
}

const mostOfMemory = 1 / 8;

function hasBodyForGet({ status, contentLength }: ResponseLine): boolean {
  return status >= 200 && status !== 204 && contentLength !== 0;
}

/**
 * 304 names what the client has: the weak form of a tag where that is what it asked with, for a cache must not renew a weak
 * entry by a strong tag (RFC 9111 §4.3.4), and Vary as on the 200 (RFC 9110 §15.4.5). Backends often leave Content-Type out.
 */
function editsOfUnchanged(exchange: Exchange, head: Head, isCovered: boolean): CompiledEdits | null {
  const tag = isTaken(exchange, 'etag') ? '' : (head.get('etag') ?? '');
  const asked = tag.startsWith('"') ? (exchange.header('if-none-match') ?? '') : '';
  const isWeakened = asked.includes(`W/${tag}`) && !asked.replaceAll(`W/${tag}`, '').includes(tag);
  const vary = (isCovered || isWeakened) && !varies(exchange, head) ? varyLine : '';
  // The 200 would be the encoded one, whose length this is not (RFC 9110 §8.6).
  if (isWeakened) return { remove: replaced, lines: `ETag: ${weakened(tag)}\r\n${vary}` };
  return vary === '' ? null : { remove: nothing, lines: vary };
}

const varyLine = 'Vary: Accept-Encoding\r\n';

const nothing: ReadonlySet<string> = new Set();

/** Ranges would be of the bytes before encoding. */
const replaced: ReadonlySet<string> = new Set(['content-length', 'etag', 'accept-ranges', 'content-md5']);

/** Fields that say something of the very bytes; with one of them the body stays as it is. */
const binding = ['content-encoding', 'content-range', 'content-digest', 'repr-digest', 'digest'] as const;

function isEligible(exchange: Exchange, line: ResponseLine, head: Head): boolean {
  if (line.status === 206 || exchange.line.version === 10) return false;
  if (head.find(nameIds.trailer) !== -1 || binding.some((name) => head.get(name) !== undefined)) return false;
  if (editsOf(exchange).some(isBinding)) return false;
  // A call's status comes in trailers, which an encoded body would lose.
  if (isGrpcType(head.get('content-type') ?? '')) return false;
  // RFC 9111 §5.2.2.6.
  return !/(?:^|[\s,])no-transform(?:$|[\s,])/i.test(head.get('cache-control') ?? '');
}

/** Whether the head will say so: filters of the route may take what the backend says. */
function varies(exchange: Exchange, head: Head): boolean {
  if (isTaken(exchange, 'vary')) return false;
  return /(?:^|[\s,])(?:\*|accept-encoding)(?:$|[\s,])/i.test(head.get('vary') ?? '');
}

/** Whether a filter removes the backend's field, or sets another one in its place. */
function isTaken(exchange: Exchange, name: string): boolean {
  return editsOf(exchange).some(({ remove }) => remove.has(name));
}

/** What filters do to the head of this answer. */
function editsOf({ route, backendFilters }: Exchange): CompiledEdits[] {
  return [route?.filters.responseHeaders, backendFilters?.responseHeaders].filter((edits) => edits != null);
}

/** Who sets the encoding of files that are stored encoded knows of one that the backend does not tell of. */
function isBinding({ remove, lines }: CompiledEdits): boolean {
  return binding.some((name) => remove.has(name) || `\n${lines.toLowerCase()}`.includes(`\n${name}:`));
}

function weakened(tag: string): string {
  return tag.startsWith('W/') ? tag : `W/${tag}`;
}
