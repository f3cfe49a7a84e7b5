import { reasonOf } from '#kit/reason.ts';
import type { Probe } from '#table/resilience.ts';
import { grpcFault } from './grpc.ts';
import { httpFault } from './http.ts';
import type { Peer } from './peer.ts';
import { tcpFault } from './tcp.ts';

/**
 * Asks one endpoint once, on a connection of its own: one that accepts no connection is as bad as one that answers 500.
 * Never rejects.
 *
 * @param signal gives up when aborted
 * @returns why the endpoint is not well; null: it is
 */
export async function askOnce(peer: Peer, probe: Probe, signal: AbortSignal): Promise<string | null> {
  try {
    switch (probe.type) {
      case 'http':
        return await httpFault(peer, probe, signal);
      case 'tcp':
        return await tcpFault(peer, signal);
      case 'grpc':
        return await grpcFault(peer, probe, signal);
    }
  } catch (error) {
    if (signal.aborted) return 'no answer in time';
    if (peer.isAlsoClear) return await askOnce({ ...peer, tls: null, isAlsoClear: false }, probe, signal);
    return faultOf(error);
  }
}

/** The system's word for it (ECONNREFUSED), or what the library says; of Node's parser (HPE_…), whose words say more, the latter. */
function faultOf(error: unknown): string {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && !code.startsWith('HPE_') ? code : reasonOf(error);
}
