import tls, { type TLSSocket } from 'node:tls';
import type { PeerOptions } from './tlsprofile.ts';

/**
 * tls.connect to a backend, which has to prove what its options say. node:tls makes an object of each certificate that was shown
 * before it asks whether they will do, and dies of some (shownCertificate), so it is given nothing to look at.
 */
export function connectSecurely(
  { identityFault, ...options }: PeerOptions,
  more: tls.ConnectionOptions & { allowHalfOpen?: boolean },
): TLSSocket {
  const socket: TLSSocket = tls.connect({
    ...options,
    ...more,
    checkServerIdentity: (): Error | undefined => identityFault?.(socket),
  });
  socket.getPeerCertificate = nothing as TLSSocket['getPeerCertificate'];
  return socket;
}

function nothing(): object {
  return {};
}
