import { Client } from 'undici';
import type { Probe } from '#table/resilience.ts';
import { hostOf, originOf, type Peer, userAgent } from './peer.ts';

type HttpProbe = Extract<Probe, { type: 'http' }>;

/** One request; its status says whether the endpoint is well. */
export async function httpFault(peer: Peer, probe: HttpProbe, signal: AbortSignal): Promise<string | null> {
  const client = new Client(originOf(peer), { pipelining: 0, connect: { ...peer.tls } });
  try {
    const { statusCode, body } = await client.request({
      path: probe.path,
      method: probe.method,
      headers: { host: probe.host ?? hostOf(peer), 'user-agent': userAgent },
      reset: true,
      signal,
    });
    await body.dump({ limit: 64 * 1024, signal });
    return isExpected(probe, statusCode) ? null : `status ${statusCode}`;
  } finally {
    void client.destroy();
  }
}

function isExpected({ expectedStatuses }: HttpProbe, status: number): boolean {
  return expectedStatuses.some(([lowest, highest]) => status >= lowest && status <= highest);
}
