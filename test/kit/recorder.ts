import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { RequestSplitter, type SplitRequest } from './splitter.ts';
import { waitUntil } from './wait.ts';

export interface RecordedRequest extends SplitRequest {
  readonly connection: RecordedConnection;
}

export interface RecordedConnection {
  readonly socket: Socket;
  readonly requests: RecordedRequest[];
  /** The peer's FIN came, or the connection is gone. */
  isEnded: boolean;
  isClosed: boolean;
  readonly splitter: RequestSplitter;
}

/** What the backend does with a request; writes to the connection's socket itself. */
export type Answer = (request: RecordedRequest) => void;

export interface RecorderOptions {
  /** When the request is complete. */
  onRequest?: Answer;
  /** When its head is there. */
  onHead?: Answer;
  onConnection?: (connection: RecordedConnection) => void;
  /** 0 lets the kernel choose. */
  port?: number;
  address?: string;
  tls?: TlsOptions;
  /** false: answers FIN with nothing, as a backend that is still at work; true when absent. */
  endsWithPeer?: boolean;
}

/** A backend that splits requests itself, keeps them all, and answers whatever the test wants. */
export class Recorder {
  readonly requests: RecordedRequest[] = [];
  readonly connections: RecordedConnection[] = [];
  onRequest: Answer;
  onHead: Answer;
  onConnection: (connection: RecordedConnection) => void;
  readonly #endsWithPeer: boolean;
  readonly #server: Server;
  /** With those below TLS, whose handshake may never have ended. */
  readonly #sockets = new Set<Socket>();

  private constructor(options: RecorderOptions) {
    this.onRequest = options.onRequest ?? ((request) => answer(request, 'ok'));
    this.onHead = options.onHead ?? (() => undefined);
    this.onConnection = options.onConnection ?? (() => undefined);
    this.#endsWithPeer = options.endsWithPeer ?? true;
    const accept = (socket: Socket) => this.#accept(socket);
    this.#server = options.tls
      ? createTlsServer({ ...options.tls, allowHalfOpen: true }, accept)
      : createServer({ allowHalfOpen: true, noDelay: true }, accept);
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(options: RecorderOptions = {}): Promise<Recorder> {
    const recorder = new Recorder(options);
    await new Promise<void>((resolve, reject) => {
      recorder.#server.once('error', reject);
      recorder.#server.listen(options.port ?? 0, options.address ?? '127.0.0.1', resolve);
    });
    return recorder;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Requests since the last call. */
  take(): RecordedRequest[] {
    return this.requests.splice(0);
  }

  /** Waits for the n-th recorded request (counted from 0) since the last take(). */
  async request(index = 0): Promise<RecordedRequest> {
    await waitUntil(() => this.requests.length > index, `request ${index} to reach the backend`);
    return this.requests[index] as RecordedRequest;
  }

  /** Refuses new connections and ends those that are open. */
  async stop(): Promise<void> {
    for (const connection of this.connections) connection.socket.destroy();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    const splitter = new RequestSplitter(
      (request) => {
        const recorded = Object.assign(request, { connection });
        connection.requests.push(recorded);
        this.requests.push(recorded);
        this.onHead(recorded);
      },
      (request) => this.onRequest(request as RecordedRequest),
    );
    const connection: RecordedConnection = { socket, requests: [], isEnded: false, isClosed: false, splitter };
    this.connections.push(connection);
    socket.on('error', () => undefined);
    socket.on('data', (bytes: Buffer) => splitter.push(bytes));
    socket.on('end', () => {
      connection.isEnded = true;
      if (this.#endsWithPeer) socket.end();
    });
    socket.on('close', () => {
      connection.isEnded = true;
      connection.isClosed = true;
    });
    this.onConnection(connection);
  }
}

/** A plain answer with a Content-Length (and no body to HEAD). */
export function answer(request: RecordedRequest, body: string, status = 200, fields: readonly string[] = []): void {
  const lines = [`HTTP/1.1 ${status} X`, ...fields, `Content-Length: ${Buffer.byteLength(body)}`];
  const head = `${lines.join('\r\n')}\r\n\r\n`;
  request.connection.socket.write(request.method === 'HEAD' ? head : head + body);
}

/** Writes bytes as they are; latin1 text stands for bytes. */
export function answerBytes(request: RecordedRequest, bytes: string | Buffer): void {
  request.connection.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
}
