import type { CompiledEdits } from '../filters/compiled.ts';
import { type CompiledCompression, chooseEncoding } from '../filters/compression.ts';
import { isGrpcType } from '../listen/grpc.ts';
import { bodyLength, bodyNone } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { nameIds } from '../parse/names.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { ReplyEncoder } from './encoder.ts';
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
  const length = line.bodyKind === bodyLength ? line.contentLength : -1;
  const encodings = compression.for(head.get('content-type') ?? '', length);
  if (encodings.length === 0 || !isEligible(exchange, line, head)) return;
  const vary = varies(head) ? '' : 'Vary: Accept-Encoding\r\n';
  const encoding = chooseEncoding(encodings, exchange.header('accept-encoding') ?? '');
  if (encoding === null || engine.encoders.open >= engine.limits.encoders) {
    if (vary !== '') exchange.replyEdits = { remove: nothing, lines: vary };
    return;
  }
  const tag = head.get('etag');
  const lines = `Content-Encoding: ${encoding.name}\r\n${tag === undefined ? '' : `ETag: ${weakened(tag)}\r\n`}${vary}`;
  exchange.replyEdits = { remove: replaced, lines } satisfies CompiledEdits;
  exchange.encoder = new ReplyEncoder(engine, exchange, encoding, line.bodyKind !== bodyLength);
}

const nothing: ReadonlySet<string> = new Set();

/** Ranges would be of the bytes before encoding. */
const replaced: ReadonlySet<string> = new Set(['content-length', 'etag', 'accept-ranges', 'content-md5']);

/** Fields that say something of the very bytes; with one of them the body stays as it is. */
const binding = ['content-encoding', 'content-range', 'content-digest', 'repr-digest', 'digest'] as const;

function isEligible(exchange: Exchange, line: ResponseLine, head: Head): boolean {
  if (line.bodyKind === bodyNone || line.status === 206 || exchange.line.version === 10) return false;
  if (head.find(nameIds.trailer) !== -1 || binding.some((name) => head.get(name) !== undefined)) return false;
  // A call's status comes in trailers, which an encoded body would lose.
  if (isGrpcType(head.get('content-type') ?? '')) return false;
  // RFC 9111 §5.2.2.6.
  return !/(?:^|[\s,])no-transform(?:$|[\s,])/i.test(head.get('cache-control') ?? '');
}

function varies(head: Head): boolean {
  return /(?:^|[\s,])(?:\*|accept-encoding)(?:$|[\s,])/i.test(head.get('vary') ?? '');
}

function weakened(tag: string): string {
  return tag.startsWith('W/') ? tag : `W/${tag}`;
}
