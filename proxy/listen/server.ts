import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import { sharedClientBuffer, shortBytes } from '../forward/relay.ts';
import type { Peer } from '../forward/sides.ts';
import { acceptThrough } from './accept.ts';
import { ClientConnection } from './client.ts';
import type { Connection, SocketConnection } from './connection.ts';
import type { Door } from './door.ts';
import { plainAddress } from './forwarded.ts';
import type { Gate } from './gate.ts';
import { H2Connection } from './h2connection.ts';
import type { Source } from './sources.ts';

export interface ServerOptions {
  readonly engine: Engine;
  readonly gate: Gate;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  opened(connection: Connection): void;
  /** It speaks another protocol than it was opened with. */
  replaced(before: Connection, now: Connection): void;
  readonly listenerId: string;
}

/** An http listener. Accepted handles become sockets that read into the shared buffer, which net.Server cannot make. */
export function createPlainServer(options: ServerOptions): Server {
  const { gate, door } = options;
  const server = net.createServer();
  acceptThrough(server, {
    gate,
    door,
    arrived({ handle, address, source }) {
      gate.ready(source);
      acceptPlain(options, handle, address).on('close', () => {
        gate.unready(source);
        gate.left(source);
      });
    },
  });
  return server;
}

function acceptPlain(options: ServerOptions, handle: object, address: string): Socket {
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
  seat = welcome(options, socket, address, '', false);
  socket.resume();
  return socket;
}

/** An https listener. */
export function createTlsServer(options: ServerOptions, secure: tls.TlsOptions): Server {
  const { engine, gate, door } = options;
  const server = tls.createServer({
    ...secure,
    handshakeTimeout: engine.limits.handshakeMs,
    allowHalfOpen: true,
    noDelay: true,
  });
  let arriving: Source | null = null;
  acceptThrough(server, {
    gate,
    door,
    arrived({ source }, goOn) {
      arriving = source;
      goOn();
    },
  });
  // Emitted inside goOn, with the socket below TLS.
  server.prependListener('connection', (socket: Socket) => {
    const source = arriving as Source;
    gate.secure++;
    socket.on('close', () => {
      gate.secure--;
      gate.left(source);
    });
  });
  server.on('secureConnection', (socket) => {
    const address = plainAddress(socket.remoteAddress ?? '');
    const source = gate.find(address);
    if (source === undefined) {
      // Gone meanwhile.
      socket.destroy();
      return;
    }
    gate.ready(source);
    socket.on('close', () => gate.unready(source));
    const name = typeof socket.servername === 'string' ? socket.servername : '';
    const seat = welcome(options, socket, address, name, socket.alpnProtocol === 'h2');
    socket.on('data', (bytes: Buffer) => seat.connection.receive(bytes, 0, bytes.length));
  });
  // A failed handshake is the peer's affair; without a listener here its socket would stay.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

function welcome(options: ServerOptions, socket: Socket, address: string, serverName: string, isH2: boolean): Seat {
  socket.on('error', ignore);
  const door = options.door();
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
