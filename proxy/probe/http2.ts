import { once } from 'node:events';
import { connect, type IncomingHttpHeaders, type IncomingHttpStatusHeader, type OutgoingHttpHeaders } from 'node:http2';
import { connectSecurely } from '../forward/securely.ts';
import { hostOf, originOf, type Peer, userAgent } from './peer.ts';

/** What an endpoint answers over HTTP/2. */
export interface Http2Answer {
  readonly head: IncomingHttpHeaders & IncomingHttpStatusHeader;
  readonly trailers: IncomingHttpHeaders;
  /** The beginning of it, when it is longer than any that is of interest. */
  readonly body: Buffer;
}

/** More of an answer is not read. */
const mostBytes = 4096;

/**
 * One request on an HTTP/2 connection of its own; in the clear by prior knowledge.
 *
 * @param host null: the endpoint's address
 * @param headers with `:method` and `:path`
 * @throws why there is no answer
 */
export async function askOverHttp2(
  peer: Peer,
  host: string | null,
  headers: OutgoingHttpHeaders,
  body: Buffer | null,
  signal: AbortSignal,
): Promise<Http2Answer> {
  const { tls, endpoint } = peer;
  const session = connect(originOf(peer), {
    settings: { enablePush: false },
    maxSessionMemory: 1,
    ...(tls !== null && {
      createConnection: () =>
        connectSecurely(tls, { host: endpoint.address, port: endpoint.port, ALPNProtocols: ['h2'] }),
    }),
  });
  // The waits below hear of errors; one that nobody waits for must not be the end of the process.
  session.on('error', () => {});
  try {
    await once(session, 'connect', { signal });
    const stream = session.request({
      ':scheme': tls === null ? 'http' : 'https',
      ':authority': host ?? hostOf(peer),
      'user-agent': userAgent,
      ...headers,
    });
    stream.on('error', () => {});
    let trailers: IncomingHttpHeaders = {};
    stream.on('trailers', (fields) => {
      trailers = fields;
    });
    if (body === null) stream.end();
    else stream.end(body);
    // A stream that is taken back without an error (CANCEL, or the connection with it) only closes.
    const [head] = await Promise.race([
      once(stream, 'response', { signal }) as Promise<[Http2Answer['head']]>,
      once(stream, 'close', { signal }).then(() => Promise.reject(new Error('the stream ended without an answer'))),
    ]);
    const pieces: Buffer[] = [];
    let length = 0;
    stream.on('data', (piece: Buffer) => {
      length += piece.length;
      pieces.push(piece);
      if (length > mostBytes) stream.destroy();
    });
    if (!stream.closed) await once(stream, 'close', { signal });
    return { head, trailers, body: Buffer.concat(pieces) };
  } finally {
    session.destroy();
  }
}
