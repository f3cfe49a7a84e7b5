import type { Engine } from '../forward/engine.ts';
import type { Session } from '../frame/session.ts';
import { clientGone } from './answer.ts';
import { isGrpc } from './grpc.ts';
import type { H2Stream } from './h2stream.ts';

/**
 * Ends what is open on a connection that is to end, stream by stream: node:http2 tells of a connection that is gone as of an answer
 * that is whole, but for a code that hardly anybody looks at. To gRPC it is UNAVAILABLE by itself, where a reset would be another status.
 *
 * @returns false: there is nothing to say; the connection may be cut off
 */
export function endStreams(engine: Engine, { streams }: Session<H2Stream>): boolean {
  const open = [...streams.values()].flatMap(({ peer }) => peer ?? []);
  if (open.length === 0 || open.some(({ exchange }) => exchange !== null && isGrpc(exchange))) return false;
  for (const each of open) {
    const { exchange, stream } = each;
    // Its answer is whole.
    if (stream?.isLocalClosed !== false) continue;
    each.cutOff('');
    if (exchange !== null) clientGone(engine, exchange);
  }
  return true;
}
