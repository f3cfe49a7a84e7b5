import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import { sharedClientBuffer, shortBytes } from '../forward/relay.ts';
import { ClientConnection } from './client.ts';
import type { Connection } from './connection.ts';
import type { Door } from './door.ts';
import { plainAddress } from './forwarded.ts';
import { refusals } from './refusals.ts';

export interface ServerOptions {
  readonly engine: Engine;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  /** false: the worker is full, the connection is turned away. */
  hasRoom(): boolean;
  opened(connection: Connection): void;
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
  let client: ClientConnection | null = null;
  const socket = new net.Socket({
    handle,
    allowHalfOpen: true,
    writableHighWaterMark: shortBytes,
    onread: {
      buffer: () => client?.chunk ?? sharedClientBuffer,
      callback(length: number, buffer: Buffer): boolean {
        client?.receive(buffer, 0, length);
        return true;
      },
    },
  } as net.SocketConstructorOpts);
  socket.setNoDelay(true);
  client = welcome(options, socket, '');
  socket.resume();
}

/** An https listener. */
export function createTlsServer(options: ServerOptions, secure: tls.TlsOptions): Server {
  const { engine } = options;
  const server = tls.createServer({
    ...secure,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: engine.limits.handshakeMs,
    allowHalfOpen: true,
    noDelay: true,
  });
  // `hasRoom` counts from the end of the handshake on: without this, those who never finish theirs would not be counted.
  server.maxConnections = engine.limits.connections;
  server.on('secureConnection', (socket) => {
    const name = typeof socket.servername === 'string' ? socket.servername : '';
    const client = welcome(options, socket, name);
    if (client === null) return;
    socket.on('data', (bytes: Buffer) => client.receive(bytes, 0, bytes.length));
  });
  // A failed handshake is the peer's affair; without a listener here its socket would stay.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

function welcome(options: ServerOptions, socket: Socket, serverName: string): ClientConnection | null {
  socket.on('error', ignore);
  if (!options.hasRoom()) {
    socket.end(fullAnswer, 'latin1', () => socket.destroySoon());
    return null;
  }
  const door = options.door();
  const address = plainAddress(socket.remoteAddress ?? '');
  const peer = { door, address, isTrusted: door.isTrusted(address), serverName, forwardedLines: '' };
  const client = new ClientConnection(options.engine, peer, socket);
  socket.on('end', () => client.ended());
  socket.on('close', () => client.closed());
  socket.on('drain', () => client.drained());
  options.opened(client);
  return client;
}

/** `close` follows every error and says what there is to say. */
function ignore(): void {}
