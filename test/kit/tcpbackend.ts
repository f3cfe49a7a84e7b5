import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { waitUntil, within } from './wait.ts';

/** A connection as the backend sees it: what has come so far, and how it ended. */
export class BackendConnection {
  readonly socket: Socket;
  hasEnded = false;
  isClosed = false;
  errorCode: string | undefined;
  readonly #parts: Buffer[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => this.#parts.push(bytes));
    socket.on('end', () => {
      this.hasEnded = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.errorCode = error.code;
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  get received(): Buffer {
    if (this.#parts.length > 1) this.#parts.splice(0, this.#parts.length, Buffer.concat(this.#parts));
    return this.#parts[0] ?? Buffer.alloc(0);
  }

  /** Waits for so many bytes in all. */
  async bytes(count: number): Promise<Buffer> {
    await waitUntil(() => this.received.length >= count || this.isClosed, `${count} bytes at the backend`);
    return this.received;
  }

  async ended(): Promise<void> {
    await waitUntil(() => this.hasEnded || this.isClosed, 'FIN at the backend');
  }

  async closed(): Promise<void> {
    await waitUntil(() => this.isClosed, 'the connection of the backend to close');
  }
}

/** How a client is turned away: the code of its error, or `FIN`. What comes before it does not matter. */
export function endOf(port: number, sent: Uint8Array = Buffer.alloc(0), localAddress = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write(sent);
  socket.resume();
  const ended = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    socket.on('close', () => resolve('FIN'));
  });
  return within(ended, 'the client to be turned away');
}

/** A backend that speaks no protocol: it keeps what comes, and each test says what it answers. */
export class TcpBackend {
  readonly connections: BackendConnection[] = [];
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  /** @param onConnection what every connection does, as `(socket) => socket.pipe(socket)` */
  static async start(onConnection: (socket: Socket) => void = () => undefined): Promise<TcpBackend> {
    const server = createServer({ allowHalfOpen: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const backend = new TcpBackend(server);
    server.on('connection', (socket) => {
      backend.connections.push(new BackendConnection(socket));
      onConnection(socket);
    });
    return backend;
  }

  get endpoint(): { address: string; port: number } {
    return { address: '127.0.0.1', port: this.port };
  }

  /** The n-th connection, counted from 0. */
  async connection(index: number): Promise<BackendConnection> {
    await waitUntil(() => this.connections.length > index, `connection ${index} at the backend`);
    return this.connections[index] as BackendConnection;
  }

  close(): void {
    this.#server.close();
    for (const { socket } of this.connections) socket.destroy();
  }
}
