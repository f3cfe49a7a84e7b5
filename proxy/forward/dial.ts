import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import type { EndpointState } from '../select/types.ts';
import { type Failure, failures } from './failures.ts';
import { sharedUpstreamBuffer, shortBytes } from './relay.ts';
import type { PeerOptions, TlsProfile } from './tlsprofile.ts';

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

type Alpn = 'http/1.1' | 'h2';

/** What connections to one endpoint share. */
export interface Target {
  /** How TLS is spoken; null: in the clear. */
  readonly tls: TlsProfile | null;
  /** The newest TLS session, resumed by the next connection; null: none yet. It is of a peer that this profile has verified. */
  session: Buffer | null;
}

/** Opens the socket of `connection`; its fate is told through the connection's methods. */
export function dial(connection: Dialled, endpoint: EndpointState, target: Target, alpn: Alpn = 'http/1.1'): void {
  const socket = target.tls === null ? dialPlain(connection, endpoint) : dialSecure(connection, endpoint, target, alpn);
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

function dialTls(
  connection: Dialled,
  endpoint: EndpointState,
  target: Target,
  alpn: Alpn,
  options: PeerOptions,
): Socket {
  const { session } = target;
  const socket = tls.connect({
    ...options,
    host: endpoint.address,
    port: endpoint.port,
    ALPNProtocols: [alpn],
    ...(session === null ? {} : { session }),
    allowHalfOpen: true,
  } as tls.ConnectionOptions);
  socket.on('session', (fresh: Buffer) => {
    target.session = fresh;
  });
  socket.on('secureConnect', () => connection.connected());
  socket.on('data', (bytes: Buffer) => connection.receive(bytes, 0, bytes.length));
  return socket;
}

function dialSecure(connection: Dialled, endpoint: EndpointState, target: Target, alpn: Alpn): Socket {
  const options = target.tls?.options() ?? null;
  return options === null ? dialNothing() : dialTls(connection, endpoint, target, alpn, options);
}

/** In the place of a connection whose key material cannot be used: never is it opened with less. */
function dialNothing(): Socket {
  return new net.Socket().destroy(Object.assign(new Error('unusable key material'), { code: unusable }));
}

const unusable = 'TLS_MATERIAL_UNUSABLE';

/** Why a socket closed before an answer had come, in OpenSSL's words for the log; '' when TLS has nothing to do with it. */
export function tlsFaultOf(socket: Socket): string {
  const { authorizationError } = socket as Partial<tls.TLSSocket>;
  if (authorizationError) return String(authorizationError);
  const code = String((socket.errored as NodeJS.ErrnoException | null)?.code ?? '');
  return code === unusable || code === 'EPROTO' || code.startsWith('ERR_SSL_') ? code : '';
}

const certificateAlert = /_ALERT_(?:BAD_|UNSUPPORTED_)?CERTIFICATE|_ALERT_UNKNOWN_CA$|_ALERT_ACCESS_DENIED$/;

/** It is us who have no descriptor, no port or no memory for the connection. */
const ownShortage: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/** @param fault of tlsFaultOf */
export function lossOf(socket: Socket, fault: string, isConnecting: boolean): Failure {
  if ((socket as Partial<tls.TLSSocket>).authorizationError) return failures.untrusted;
  if (isConnecting && ownShortage.has((socket.errored as NodeJS.ErrnoException | null)?.code ?? ''))
    return failures.exhausted;
  if (isConnecting) return fault === '' ? failures.refused : failures.tlsRefused;
  // With TLS 1.3 a backend refuses our certificate after our side of the handshake is done; it has read no request then.
  return certificateAlert.test(fault) ? failures.tlsRefused : failures.reset;
}
