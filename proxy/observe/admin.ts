import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Problem } from '#table/problem.ts';
import { type Row, rowKinds, type Table } from '#table/rows.ts';

export interface AdminOptions {
  readonly address: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  /** null when traffic is taken, else why not. */
  unreadyReason(): string | null;
  /** Prometheus text. */
  metrics(): Promise<string>;
  table(): { readonly hash: string; readonly generation: number; readonly rows: Table };
  problems(): readonly Problem[];
}

export interface Admin {
  readonly port: number;
  close(): Promise<void>;
}

/** The pages for probes, Prometheus and people. Reads only: nothing can be changed here, and no page shows a secret. */
export async function openAdmin(options: AdminOptions): Promise<Admin> {
  const server = createServer(limits, (request, response) => {
    const page = pageOf(request.url ?? '/');
    const answer = request.method === 'GET' || request.method === 'HEAD' ? pages[page] : refuseMethod;
    (answer ?? notFound)(options).then(
      ({ status, type, body }) => {
        const headers = {
          'content-type': type,
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
        };
        response.writeHead(status, headers);
        response.end(request.method === 'HEAD' ? '' : body);
      },
      () => response.writeHead(500).end(),
    );
    // A body is neither expected nor read.
    request.resume();
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  await listening(server, options);
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 30_000 };

const pages: { readonly [page: string]: (options: AdminOptions) => Promise<Answer> } = {
  '/': async () => text(200, `${Object.keys(pages).slice(1).join('\n')}\n`),
  '/healthz': async () => text(200, 'ok\n'),
  '/readyz': async (options) => {
    const reason = options.unreadyReason();
    return reason === null ? text(200, 'ok\n') : text(503, `${reason}\n`);
  },
  '/metrics': async (options) => {
    return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await options.metrics() };
  },
  '/tables': async (options) => json(dump(options.table())),
  '/problems': async (options) => json(options.problems()),
};

const notFound = async (): Promise<Answer> => text(404, 'not found\n');
const refuseMethod = async (): Promise<Answer> => text(405, 'only GET\n');

function pageOf(url: string): string {
  const end = url.search(/[?#]/);
  const path = end === -1 ? url : url.slice(0, end);
  return Object.hasOwn(pages, path) ? path : '';
}

/** One member per kind, rows by id in order, so that `jq '.route["ingress/…"]'` and a diff of two dumps work. */
function dump({ hash, generation, rows }: ReturnType<AdminOptions['table']>): object {
  const kinds: { [kind: string]: { [id: string]: unknown } } = {};
  for (const kind of rowKinds) {
    const byId: { [id: string]: unknown } = {};
    for (const id of [...rows[kind].keys()].sort()) byId[id] = shown({ kind, row: rows[kind].get(id) } as Row);
    kinds[kind] = byId;
  }
  return { hash, generation, ...kinds };
}

/** What of a row may be seen. */
function shown({ kind, row }: Row): unknown {
  if (kind === 'secret') return { id: row.id };
  if (kind !== 'certificate') return row;
  const { id, source, names, notAfterMs, fingerprint } = row;
  return { id, source, names, notAfter: dateOf(notAfterMs), fingerprint };
}

function dateOf(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}

function listening(server: Server, { port, address }: AdminOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    // Stays: a failed accept (out of descriptors) is told here later, and is not the end of the pages.
    server.on('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'EADDRINUSE' ? 'the port is in use by another process' : error.message;
      reject(new Error(`cannot open the admin pages on ${address} port ${port}: ${reason}`));
    });
    server.listen(port, address, resolve);
  });
}
