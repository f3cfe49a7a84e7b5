import { shortBytes } from '../carry/handlelink.ts';
import { type Refusal, refusals } from '../listen/refusals.ts';
import type { Head } from '../parse/head.ts';
import { latin1 } from '../parse/latin1.ts';
import { abandonAttempt, breakOff } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';

/**
 * Body bytes of a request, in `buffer[start, end)`, decoded.
 * @param trailers null: more follows; else this piece, perhaps empty, is the last
 * @param isLent as in UpstreamSide.writeBody
 */
export function requestBody(
  engine: Engine,
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  trailers: Head | null,
  isLent: boolean,
): void {
  exchange.bytesReceived += end - start;
  exchange.requestTrailers = trailers;
  if (trailers !== null && trailers.count > 0) engine.pressure.putBy(trailers.text.length);
  const limit = exchange.route?.bodyLimit ?? null;
  if (limit !== null && exchange.bytesReceived > limit) {
    requestBroken(engine, exchange, refusals.bodyTooLong);
    return;
  }
  // The backend has answered and gone: what is still uploaded goes nowhere.
  const upstream = exchange.upstream;
  if (upstream === null) return;
  if (exchange.replay !== null && end > start) keep(engine, exchange, buffer, start, end, upstream.isConnected);
  if (!upstream.isConnected) {
    // Nothing takes the bytes yet; the piece that came is kept whatever its size, the next ones stay in the kernel.
    exchange.client?.pause();
    engine.pressure.putBy(end - start);
    return;
  }
  upstream.writeBody(exchange, buffer, start, end, trailers, isLent);
  if (!upstream.isFull) return;
  exchange.client?.pause();
  engine.pressure.putBy(end - start);
}

/** Keeps a piece for another try, until the body is too long to be kept, or comes in too many. */
function keep(
  engine: Engine,
  exchange: Exchange,
  buffer: Buffer,
  start: number,
  end: number,
  isConnected: boolean,
): void {
  const pieces = exchange.replay ?? [];
  exchange.replayBytes += end - start;
  const isTooLong = exchange.replayBytes > engine.limits.replayBytes || pieces.length === mostPieces;
  if (isConnected && (isTooLong || !engine.pressure.hasRoomFor(end - start))) {
    exchange.replay = null;
    return;
  }
  const piece = end - start <= shortBytes ? latin1(buffer, start, end) : Buffer.from(buffer.subarray(start, end));
  pieces.push(piece);
}

/** Bytes that a request keeps for another try, and for its answer to be read; null: there is none. */
export function keptBytes(exchange: Exchange | null): number {
  if (exchange === null) return 0;
  return (exchange.replay === null ? 0 : exchange.replayBytes) + (exchange.upstream?.chunk?.length ?? 0);
}

/** A request that waits for its answer, with what belongs to it on both sides. */
export const requestBytes = 8_192;

/**
 * Bytes that a request takes: what it says is kept for another try, and for the log, TLS to its backend is for it alone, and so is what
 * waits for the end of a head.
 */
export function takenBytes({ head, requestTrailers, upstream }: Exchange): number {
  const bytes = requestBytes + head.text.length + (requestTrailers?.text.length ?? 0);
  return upstream === null ? bytes : bytes + upstream.roomBytes + upstream.heldBytes;
}

/** What a piece takes besides its bytes is more than a byte: HTTP/2 may bring each in a frame of its own. */
const mostPieces = 1_024;

/** The rest of the request will not come, or may not: the backend must never take what it has for a whole request. */
export function requestBroken(engine: Engine, exchange: Exchange, refusal: Refusal): void {
  abandonAttempt(exchange);
  exchange.willClose = true;
  breakOff(engine, exchange, refusal);
}
