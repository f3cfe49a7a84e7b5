import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState } from '../select/types.ts';
import { sharedUpstreamBuffer, shortBytes } from './relay.ts';

/** Who uses a backend socket. */
export interface Dialled {
  socket: Socket;
  /** Where the next read goes; null: into the shared buffer (relay.ts). */
  readonly chunk: Buffer | null;
  connected(): void;
  receive(buffer: Buffer, start: number, end: number): void;
  ended(): void;
  closed(): void;
  /** What waited in the socket is gone. */
  emptied(): void;
}

export type Alpn = 'http/1.1' | 'h2';

/** Opens the socket of `connection`; its fate is told through the connection's methods. */
export function dial(
  connection: Dialled,
  endpoint: EndpointState,
  tlsBackend: LiveBackend | null,
  alpn: Alpn = 'http/1.1',
): void {
  const socket =
    tlsBackend === null ? dialPlain(connection, endpoint) : dialTls(connection, endpoint, tlsBackend, alpn);
  connection.socket = socket;
  socket.setNoDelay(true);
  // `close` follows and tells the connection; without a listener the error would end the process.
  socket.on('error', () => {});
  socket.on('end', () => connection.ended());
  socket.on('close', () => connection.closed());
  socket.on('drain', () => connection.emptied());
}

function dialPlain(connection: Dialled, endpoint: EndpointState): Socket {
  const socket = new net.Socket({
    allowHalfOpen: true,
    writableHighWaterMark: shortBytes,
    onread: {
      buffer: () => connection.chunk ?? sharedUpstreamBuffer,
      callback(length: number, buffer: Buffer): boolean {
        connection.receive(buffer, 0, length);
        return true;
      },
    },
  } as net.SocketConstructorOpts);
  socket.on('connect', () => connection.connected());
  socket.connect({ host: endpoint.address, port: endpoint.port, autoSelectFamily: false });
  return socket;
}

function dialTls(connection: Dialled, endpoint: EndpointState, backend: LiveBackend, alpn: Alpn): Socket {
  const serverName = backend.row.tls?.serverName ?? null;
  const socket = tls.connect({
    host: endpoint.address,
    port: endpoint.port,
    ALPNProtocols: [alpn],
    rejectUnauthorized: backend.caPem !== null,
    ...(backend.caPem === null ? {} : { ca: backend.caPem }),
    // RFC 6066 §3: an address is no server name.
    ...(serverName === null || net.isIP(serverName) !== 0 ? { servername: '' } : { servername: serverName }),
    ...(backend.caPem !== null && serverName !== null
      ? {
          checkServerIdentity: (_host: string, certificate: tls.PeerCertificate) =>
            tls.checkServerIdentity(serverName, certificate),
        }
      : {}),
    allowHalfOpen: true,
  } as tls.ConnectionOptions);
  socket.on('secureConnect', () => connection.connected());
  socket.on('data', (bytes: Buffer) => connection.receive(bytes, 0, bytes.length));
  return socket;
}
