import net from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type Caller, connect } from '../carry/connect.ts';
import { DialledTls } from '../carry/dialledtls.ts';
import type { Link } from '../carry/link.ts';
import { SocketLink } from '../carry/socketlink.ts';
import type { EndpointState } from '../select/types.ts';
import { type Failure, failures } from './failures.ts';
import { sharedUpstreamBuffer } from './relay.ts';
import { connectSecurely } from './securely.ts';
import type { PeerOptions, TlsProfile } from './tlsprofile.ts';

/** Who uses a backend connection. */
export interface Dialled extends Caller {
  link: Link;
}

type Alpn = 'http/1.1' | 'h2';

/** What connections to one endpoint share. */
export interface Target {
  /** How TLS is spoken; null: in the clear. */
  readonly tls: TlsProfile | null;
  /** The newest TLS session, resumed by the next connection; null: none yet. It is of a peer that this profile has verified. */
  session: Buffer | null;
}

/** Opens the link of `connection`; its fate is told through the connection's methods. */
export function dial(connection: Dialled, endpoint: EndpointState, target: Target, alpn: Alpn = 'http/1.1'): void {
  connection.link =
    target.tls === null
      ? connect(connection, endpoint.address, endpoint.port, sharedUpstreamBuffer)
      : dialSecure(connection, endpoint, target, alpn);
}

function dialSecure(connection: Dialled, endpoint: EndpointState, target: Target, alpn: Alpn): Link {
  const options = target.tls?.options() ?? null;
  const link =
    options === null
      ? new SocketLink(dialNothing())
      : linkOf(dialTls(connection, endpoint, target, alpn, options), options);
  link.receiver = connection;
  return link;
}

/**
 * Of a peer that proves who it is FIN alone is no end. In the place of one that proves nothing anybody on the way could answer, and many
 * say no more (Python's http.server): nginx and HAProxy take what they send for whole, whoever it is.
 */
function linkOf(socket: TLSSocket, { rejectUnauthorized }: PeerOptions): DialledTls {
  const link = new DialledTls(socket);
  if (rejectUnauthorized) link.expectGoodbye();
  return link;
}

function dialTls(
  connection: Dialled,
  endpoint: EndpointState,
  target: Target,
  alpn: Alpn,
  options: PeerOptions,
): TLSSocket {
  const { session } = target;
  const socket = connectSecurely(options, {
    host: endpoint.address,
    port: endpoint.port,
    ALPNProtocols: [alpn],
    ...(session === null ? {} : { session }),
    allowHalfOpen: true,
  });
  socket.setNoDelay(true);
  socket.on('session', (fresh: Buffer) => {
    target.session = fresh;
  });
  socket.on('secureConnect', () => connection.connected());
  return socket;
}

/** In the place of a connection whose key material cannot be used: never is it opened with less. */
function dialNothing(): net.Socket {
  return new net.Socket().destroy(Object.assign(new Error('unusable key material'), { code: unusable }));
}

const unusable = 'TLS_MATERIAL_UNUSABLE';

/** Why a connection closed before an answer had come, in OpenSSL's words for the log; '' when TLS has nothing to do with it. */
export function tlsFaultOf(link: Link): string {
  const { fault } = link;
  const untrusted = untrustedOf(link);
  if (untrusted !== '') return untrusted;
  return fault === unusable || fault === 'EPROTO' || fault.startsWith('ERR_SSL_') ? fault : '';
}

/** Why the backend's certificate was not taken; '' when it was, or none was looked at. */
function untrustedOf(link: Link): string {
  return link instanceof SocketLink ? link.peerFault : '';
}

const certificateAlert = /_ALERT_(?:BAD_|UNSUPPORTED_)?CERTIFICATE|_ALERT_UNKNOWN_CA$|_ALERT_ACCESS_DENIED$/;

/** It is us who have no descriptor, no port or no memory for the connection. */
export const ownShortage: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'EADDRNOTAVAIL', 'ENOBUFS', 'ENOMEM']);

/** As OpenSSL names it. */
export const cutOff = 'ERR_SSL_UNEXPECTED_EOF_WHILE_READING';

/** @param fault of tlsFaultOf */
export function lossOf(link: Link, fault: string, isConnecting: boolean): Failure {
  if (untrustedOf(link) !== '') return failures.untrusted;
  if (isConnecting && ownShortage.has(link.fault)) return failures.exhausted;
  if (isConnecting) return fault === '' ? failures.refused : failures.tlsRefused;
  // With TLS 1.3 a backend refuses our certificate after our side of the handshake is done; it has read no request then.
  return certificateAlert.test(fault) ? failures.tlsRefused : failures.reset;
}
