import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import pino from 'pino';
import { Limits } from '../../proxy/listen/limits.ts';
import { type Fleet, type FleetOptions, startFleet } from '../../proxy/main.ts';

/** A fleet of real worker processes inside the test's own, on free ports, quiet unless something is wrong. */
export function testFleet(options: Partial<FleetOptions> = {}): Promise<Fleet> {
  return startFleet({
    workers: 2,
    httpPort: null,
    httpsPort: null,
    adminPort: 0,
    adminAddress: '127.0.0.1',
    stateDir: null,
    stateKeyFile: null,
    accessLog: 'off',
    metricsCompat: 'none',
    podName: 'proxy-1',
    limits: Limits.parse({}),
    redis: null,
    zone: null,
    node: null,
    drainDelayMs: 0,
    drainGraceMs: 5_000,
    staleAcceptMs: 120_000,
    canUseLoopback: true,
    log: pino({ level: 'fatal' }),
    ...options,
  });
}

/** A backend that answers with its own name. `/held` waits for release; `/broken` is 500 while the backend is broken. */
export class NamedBackend {
  readonly port: number;
  isBroken = false;
  readonly #server: Server;
  readonly #held: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
  }

  static async start(name: string): Promise<NamedBackend> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const backend = new NamedBackend(server);
    server.on('request', (request, response) => {
      if (request.url === '/broken' && backend.isBroken) response.statusCode = 500;
      if (request.url === '/held') backend.#held.push(() => response.end(name));
      else response.end(name);
    });
    return backend;
  }

  get endpoint(): { address: string; port: number } {
    return { address: '127.0.0.1', port: this.port };
  }

  get heldCount(): number {
    return this.#held.length;
  }

  release(): void {
    for (const answer of this.#held.splice(0)) answer();
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** One request on a connection of its own (from an address of 127.0.0.0/8): the body, or `error CODE`, or `status N`. */
export function fetchOnce(port: number, path = '/', localAddress?: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', ...(localAddress === undefined ? {} : { localAddress }) });
    let text = '';
    socket.on('data', (bytes) => {
      text += bytes.toString('latin1');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(`error ${error.code}`));
    socket.on('close', () => {
      const status = /^HTTP\/1\.1 (\d+)/.exec(text)?.[1];
      if (status === undefined) resolve('error CLOSED');
      else resolve(status === '200' ? bodyOf(text) : `status ${status}`);
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n`);
  });
}

/** Page of the admin port. */
export async function adminPage(fleet: Fleet, path: string): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${fleet.adminPort}${path}`);
  return { status: response.status, text: await response.text() };
}

function bodyOf(text: string): string {
  const body = text.slice(text.indexOf('\r\n\r\n') + 4);
  // The backend's answers are one short chunk at most.
  return /^[0-9a-f]+\r\n/.test(body) ? (body.split('\r\n')[1] ?? '') : body;
}
