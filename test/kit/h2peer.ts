import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { within } from './wait.ts';

export interface PeerAnswer {
  status: number;
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  interims: IncomingHttpHeaders[];
  body: Buffer;
  /** Code of RST_STREAM; 0 for a clean end. */
  code: number;
}

/** An HTTP/2 client that is not ours: node:http2. */
export async function openPeer(options: { port: number; tls?: boolean }): Promise<ClientHttp2Session> {
  const scheme = options.tls ? 'https' : 'http';
  const session = connect(`${scheme}://127.0.0.1:${options.port}`, {
    rejectUnauthorized: false,
    servername: 'gw.test',
  });
  session.on('error', () => undefined);
  await within(new Promise<void>((resolve) => session.once('remoteSettings', () => resolve())), 'SETTINGS');
  return session;
}

/** One request and everything that comes back; a stream that is reset has its code. */
export async function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: string | Buffer | null = null,
  trailers: OutgoingHttpHeaders | null = null,
): Promise<PeerAnswer> {
  const stream = session.request(
    { ':method': body === null ? 'GET' : 'POST', ':path': '/', ':authority': 'gw.test', ...headers },
    { endStream: body === null, waitForTrailers: trailers !== null },
  );
  const answer: PeerAnswer = { status: 0, headers: {}, trailers: {}, interims: [], body: Buffer.alloc(0), code: 0 };
  const parts: Buffer[] = [];
  stream.on('headers', (interim) => answer.interims.push(interim));
  stream.on('response', (head) => {
    answer.status = Number(head[':status']);
    answer.headers = head;
  });
  stream.on('trailers', (fields) => {
    answer.trailers = fields;
  });
  stream.on('data', (bytes: Buffer) => parts.push(bytes));
  stream.on('error', () => undefined);
  stream.on('wantTrailers', () => stream.sendTrailers(trailers ?? {}));
  if (body !== null) stream.end(body);
  await within(new Promise<void>((resolve) => stream.on('close', resolve)), 'the stream to close');
  answer.code = stream.rstCode ?? 0;
  answer.body = Buffer.concat(parts);
  return answer;
}
