import http2, {
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { waitUntil } from './wait.ts';

export interface H2Request {
  readonly headers: IncomingHttpHeaders;
  readonly stream: ServerHttp2Stream;
  readonly session: ServerHttp2Session;
  body: Buffer;
  trailers: IncomingHttpHeaders | null;
  isEnded: boolean;
}

export interface H2BackendOptions {
  /** When the head is there. */
  onRequest?: (request: H2Request) => void;
  /** When the request is complete. */
  onEnd?: (request: H2Request) => void;
  maxConcurrentStreams?: number;
  tls?: { cert: string; key: string };
}

/** A backend of Node's own HTTP/2, in the clear (prior knowledge) or with TLS; keeps what it was asked. */
export class H2Backend {
  readonly requests: H2Request[] = [];
  readonly sessions: ServerHttp2Session[] = [];
  onRequest: (request: H2Request) => void;
  onEnd: (request: H2Request) => void;
  readonly #server: Http2Server;

  private constructor(options: H2BackendOptions) {
    this.onRequest = options.onRequest ?? (() => undefined);
    this.onEnd = options.onEnd ?? (({ stream }) => h2Answer(stream, 'ok'));
    const settings = { maxConcurrentStreams: options.maxConcurrentStreams ?? 100 };
    this.#server = options.tls
      ? http2.createSecureServer({ ...options.tls, settings })
      : http2.createServer({ settings });
    this.#server.on('session', (session) => {
      this.sessions.push(session);
      session.on('error', () => undefined);
    });
    this.#server.on('sessionError', () => undefined);
    this.#server.on('stream', (stream, headers) => this.#take(stream as ServerHttp2Stream, headers));
  }

  static async start(options: H2BackendOptions = {}): Promise<H2Backend> {
    const backend = new H2Backend(options);
    await new Promise<void>((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Connections that are open. */
  get openSessions(): ServerHttp2Session[] {
    return this.sessions.filter((session) => !session.closed && !session.destroyed);
  }

  async request(index = 0): Promise<H2Request> {
    await waitUntil(() => this.requests.length > index, `request ${index} to reach the backend`);
    return this.requests[index] as H2Request;
  }

  async stop(): Promise<void> {
    for (const session of this.sessions) session.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #take(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const session = stream.session as ServerHttp2Session;
    const request: H2Request = { headers, stream, session, body: Buffer.alloc(0), trailers: null, isEnded: false };
    this.requests.push(request);
    stream.on('error', () => undefined);
    stream.on('data', (bytes: Buffer) => {
      request.body = Buffer.concat([request.body, bytes]);
    });
    stream.on('trailers', (trailers) => {
      request.trailers = trailers;
    });
    stream.on('end', () => {
      request.isEnded = true;
      this.onEnd(request);
    });
    this.onRequest(request);
  }
}

/** A whole answer. */
export function h2Answer(stream: ServerHttp2Stream, body: string, fields: Record<string, string | number> = {}): void {
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': 200, ...fields });
  stream.end(body);
}
