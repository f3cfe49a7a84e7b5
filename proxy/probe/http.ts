import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { Client } from 'undici';
import type { Probe } from '#table/resilience.ts';
import { connectSecurely } from '../forward/securely.ts';
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
  const client = new Client(originOf(peer), {
    pipelining: 0,
    connect(_options, done) {
      opened(peer, signal).then(
        (socket) => done(null, socket),
        (error: Error) => done(error, null),
      );
    },
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

/** By undici's own way the server would be named by the Host field, and the time for a connection would be undici's. */
async function opened({ endpoint, tls }: Peer, signal: AbortSignal): Promise<Socket> {
  const to = { host: endpoint.address, port: endpoint.port };
  const socket = tls === null ? connect(to) : connectSecurely(tls, { ...to, ALPNProtocols: ['http/1.1'] });
  addAbortSignal(signal, socket);
  await once(socket, tls === null ? 'connect' : 'secureConnect');
  return socket;
}

function isExpected({ expectedStatuses }: HttpProbe, status: number): boolean {
  return expectedStatuses.some(([lowest, highest]) => status >= lowest && status <= highest);
}
