import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { addAbortSignal } from 'node:stream';
import type { Probe } from '#table/resilience.ts';
import { connectSecurely } from '../forward/securely.ts';
import { askOverHttp2 } from './http2.ts';
import { hostOf, type Peer, userAgent } from './peer.ts';

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
  const socket = await opened(peer, signal);
  try {
    // Not by undici, to which 100 that it has not asked for is no answer: a client has to expect any (RFC 9110 §15.2).
    const asking = request({
      createConnection: () => socket,
      method: probe.method,
      path: probe.path,
      headers: { host: probe.host ?? hostOf(peer), 'user-agent': userAgent, connection: 'close' },
    });
    // The wait hears of errors; one that comes later must not be the end of the process.
    asking.on('error', () => {});
    asking.end();
    const [answer] = (await once(asking, 'response', { signal })) as [IncomingMessage];
    await readOut(answer, signal);
    return answer.statusCode ?? 0;
  } finally {
    socket.destroy();
  }
}

/** As far as it is of a length that is to be expected; that it is whole is not asked of it. */
async function readOut(answer: IncomingMessage, signal: AbortSignal): Promise<void> {
  let bytes = 0;
  answer.on('error', () => {});
  answer.on('data', (piece: Buffer) => {
    bytes += piece.length;
    if (bytes > mostBytes) answer.destroy();
  });
  await new Promise((resolve) => answer.once('close', resolve));
  signal.throwIfAborted();
}

const mostBytes = 65_536;

/** By the way of node:http the server would be named by the Host field. */
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
