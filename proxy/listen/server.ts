import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import { sharedClientBuffer, shortBytes } from '../forward/relay.ts';
import type { Peer } from '../forward/sides.ts';
import { ClientConnection } from './client.ts';
import type { Connection, SocketConnection } from './connection.ts';
import type { Door } from './door.ts';
import { plainAddress } from './forwarded.ts';
import { H2Connection } from './h2connection.ts';
import { refusals } from './refusals.ts';

export interface ServerOptions {
  readonly engine: Engine;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  /** false: the worker is full, the connection is turned away. */
  hasRoom(): boolean;
  opened(connection: Connection): void;
  /** It speaks another protocol than it was opened with. */
  replaced(before: Connection, now: Connection): void;
  readonly listenerId: string;
}

/** Turned away without being read. */
const fullAnswer =
  `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n` +
  `Content-Length: ${refusals.overload.sentence.length + 1}\r\n\r\n${refusals.overload.sentence}\n`;

/** The one undocumented door of node:net that is used: where accepted handles arrive. Its absence is noticed at start. */
interface AcceptingServer {
  readonly _handle: { onconnection: (status: number, handle: object | undefined) => void } | null;
}

/** An http listener. Accepted handles become sockets that read into the shared buffer, which net.Server cannot make. */
export function createPlainServer(options: ServerOptions): Server {
  const server = net.createServer();
  server.on('listening', () => {
    const accepting = (server as unknown as AcceptingServer)._handle;
    if (typeof accepting?.onconnection !== 'function')
      throw new Error('this Node has no net.Server handle to accept from');
    accepting.onconnection = (status, handle) => {
      // A failed accept (out of descriptors) is tried again by libuv when the next connection comes.
      if (status === 0 && handle !== undefined) acceptPlain(options, handle);
    };
  });
  return server;
}

function acceptPlain(options: ServerOptions, handle: object): void {
  let seat: Seat | null = null;
  const socket = new net.Socket({
    handle,
    allowHalfOpen: true,
    writableHighWaterMark: shortBytes,
    onread: {
      buffer: () => seat?.connection.chunk ?? sharedClientBuffer,
      callback(length: number, buffer: Buffer): boolean {
        seat?.connection.receive(buffer, 0, length);
        return true;
      },
    },
  } as net.SocketConstructorOpts);
  socket.setNoDelay(true);
  seat = welcome(options, socket, '', false);
  socket.resume();
}

/** An https listener. */
export function createTlsServer(options: ServerOptions, secure: tls.TlsOptions): Server {
  const { engine } = options;
  const server = tls.createServer({
    ...secure,
    handshakeTimeout: engine.limits.handshakeMs,
    allowHalfOpen: true,
    noDelay: true,
  });
  // `hasRoom` counts from the end of the handshake on: without this, those who never finish theirs would not be counted.
  server.maxConnections = engine.limits.connections;
  server.on('secureConnection', (socket) => {
    const name = typeof socket.servername === 'string' ? socket.servername : '';
    const seat = welcome(options, socket, name, socket.alpnProtocol === 'h2');
    if (seat === null) return;
    socket.on('data', (bytes: Buffer) => seat.connection.receive(bytes, 0, bytes.length));
  });
  // A failed handshake is the peer's affair; without a listener here its socket would stay.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

function welcome(options: ServerOptions, socket: Socket, serverName: string, isH2: boolean): Seat | null {
  socket.on('error', ignore);
  if (!options.hasRoom()) {
    // Who speaks HTTP/2 would not understand it.
    if (isH2) socket.destroy();
    else socket.end(fullAnswer, 'latin1', () => socket.destroySoon());
    return null;
  }
  const door = options.door();
  const address = plainAddress(socket.remoteAddress ?? '');
  const peer = { door, address, isTrusted: door.isTrusted(address), serverName, forwardedLines: '' };
  const seat = new Seat(options, peer, socket, isH2);
  socket.on('end', () => seat.connection.ended());
  socket.on('close', () => seat.connection.closed());
  socket.on('drain', () => seat.connection.emptied());
  options.opened(seat.connection);
  return seat;
}

/** The connection on a socket: which protocol it speaks may turn out only with its first bytes. */
class Seat {
  connection: SocketConnection;
  readonly #options: ServerOptions;
  readonly #peer: Peer;
  readonly #socket: Socket;

  constructor(options: ServerOptions, peer: Peer, socket: Socket, isH2: boolean) {
    this.#options = options;
    this.#peer = peer;
    this.#socket = socket;
    const canBeH2 = peer.door.http2 && !peer.door.isTls;
    this.connection = isH2
      ? new H2Connection(options.engine, peer, socket)
      : new ClientConnection(options.engine, peer, socket, canBeH2 ? this : null);
  }

  /** RFC 9113 §3.3: a client that knew beforehand. */
  spokeH2(bytes: Buffer, start: number, end: number): void {
    const before = this.connection;
    this.connection = new H2Connection(this.#options.engine, this.#peer, this.#socket);
    this.#options.replaced(before, this.connection);
    this.connection.receive(bytes, start, end);
  }
}

/** `close` follows every error and says what there is to say. */
function ignore(): void {}
