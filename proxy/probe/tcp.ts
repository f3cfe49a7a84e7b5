import { once } from 'node:events';
import { connect } from 'node:net';
import type { Peer } from './peer.ts';

/** Whether the endpoint takes a connection. */
export async function tcpFault({ endpoint }: Peer, signal: AbortSignal): Promise<null> {
  const socket = connect({ host: endpoint.address, port: endpoint.port });
  // An error after the connection is there is no fault, and must not be the end of the process.
  socket.on('error', () => {});
  try {
    await once(socket, 'connect', { signal });
    return null;
  } finally {
    socket.destroy();
  }
}
