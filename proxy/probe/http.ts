import { buildConnector, Client } from 'undici';
import type { Probe } from '#table/resilience.ts';
import { askOverHttp2 } from './http2.ts';
import { hostOf, originOf, type Peer, userAgent } from './peer.ts';

type HttpProbe = Extract<Probe, { type: 'http' }>;

/** One request, in the version of HTTP that the backend speaks; its status says whether the endpoint is well. */
export async function httpFault(peer: Peer, probe: HttpProbe, signal: AbortSignal): Promise<string | null> {
  const status = peer.isHttp2 ? await statusOverHttp2(peer, probe, signal) : await statusOverHttp1(peer, probe, signal);
  return isExpected(probe, status) ? null : `status ${status}`;
}

async function statusOverHttp2(peer: Peer, { method, path, host }: HttpProbe, signal: AbortSignal): Promise<number> {
  const { head } = await askOverHttp2(peer, host, { ':method': method, ':path': path }, null, signal);
  return head[':status'] ?? 0;
}

async function statusOverHttp1(peer: Peer, probe: HttpProbe, signal: AbortSignal): Promise<number> {
  const open = buildConnector({ ...peer.tls });
  const servername = peer.tls?.servername ?? '';
  const client = new Client(originOf(peer), {
    pipelining: 0,
    // undici would name the server by the Host field, and not as requests of the backend name it.
    connect: (options, done) => open({ ...options, servername }, done),
  });
  try {
    const { statusCode, body } = await client.request({
      path: probe.path,
      method: probe.method,
      headers: { host: probe.host ?? hostOf(peer), 'user-agent': userAgent },
      reset: true,
      signal,
    });
    await body.dump({ limit: 64 * 1024, signal });
    return statusCode;
  } finally {
    void client.destroy();
  }
}

function isExpected({ expectedStatuses }: HttpProbe, status: number): boolean {
  return expectedStatuses.some(([lowest, highest]) => status >= lowest && status <= highest);
}
