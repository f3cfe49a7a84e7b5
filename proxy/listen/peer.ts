import type { Origin } from '../forward/flow.ts';
import type { Peer } from '../forward/sides.ts';
import type { ClientProof } from './clientproof.ts';
import type { Door } from './door.ts';

/**
 * @param peer the address at the other end of the socket
 * @param serverName SNI, lower case, no trailing dot; '' without
 * @param origin as a PROXY header tells it; null: there was none, so the peer is the client
 */
export function peerOf(
  door: Door,
  peer: string,
  serverName: string,
  origin: Origin | null,
  proof: ClientProof | null,
): Peer {
  const address = origin?.address ?? peer;
  return {
    door,
    address,
    isTrusted: door.isTrusted(address),
    serverName,
    proof,
    scheme: origin?.wasTls === true ? 'https' : door.scheme,
    // Where the port that the client came to is told, the operator need not have said it.
    port: origin?.isTold === true ? origin.localPort : door.publicPort,
    forwardedLines: '',
    hostHash: 0,
    // None is that, where a request of HTTP/1.0 may name none at all.
    host: ' ',
    hostLines: '',
    loggedClient: null,
  };
}
