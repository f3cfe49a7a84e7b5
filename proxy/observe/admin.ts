import { createServer, type Server } from 'node:http';
import { type AdminPort, listenAdmin } from '#kit/listenadmin.ts';
import type { Problem } from '#table/problem.ts';

export interface AdminOptions {
  readonly address: string;
  /** 0: the kernel chooses. */
  readonly port: number;
  /** null when traffic is taken, else why not. */
  unreadyReason(): string | null;
  /** Prometheus text. */
  metrics(): Promise<string>;
  problems(): readonly Problem[];
  /** Further pages by path: what they show as JSON; undefined: there is nothing of what the query asks for. */
  readonly pages: { readonly [path: string]: (query: URLSearchParams) => unknown };
}

/** The pages for probes, Prometheus and people. Reads only: nothing can be changed here, and no page shows a secret. */
export function openAdmin(options: AdminOptions): Promise<AdminPort> {
  return listenAdmin(() => pageServer(options), options.address, options.port);
}

function pageServer(options: AdminOptions): Server {
  const server = createServer(limits, (request, response) => {
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    (isRead ? answerOf(options, request.url ?? '/') : refuseMethod()).then(
      ({ status, type, body }) => {
        const headers = {
          'content-type': type,
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
          ...(isRead ? {} : { allow: 'GET, HEAD' }),
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
  return server;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const limits = { maxHeaderSize: 8_192, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 30_000 };

async function answerOf(options: AdminOptions, url: string): Promise<Answer> {
  const path = pathOf(url);
  switch (path) {
    case '/':
      return text(200, `${[...ownPaths, ...Object.keys(options.pages)].join('\n')}\n`);
    case '/healthz':
      return text(200, 'ok\n');
    case '/readyz': {
      const reason = options.unreadyReason();
      return reason === null ? text(200, 'ok\n') : text(503, `${reason}\n`);
    }
    case '/metrics':
      return { status: 200, type: 'text/plain; version=0.0.4; charset=utf-8', body: await options.metrics() };
    case '/problems':
      return json(options.problems());
    default: {
      const page = Object.hasOwn(options.pages, path) ? options.pages[path] : undefined;
      const shown = await page?.(new URLSearchParams(url.slice(path.length)));
      return shown === undefined ? text(404, 'not found\n') : json(shown);
    }
  }
}

const ownPaths = ['/healthz', '/readyz', '/metrics', '/problems'];

async function refuseMethod(): Promise<Answer> {
  return text(405, 'only GET\n');
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/);
  return end === -1 ? url : url.slice(0, end);
}

function text(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body };
}

function json(value: unknown): Answer {
  return { status: 200, type: 'application/json', body: `${JSON.stringify(value, null, 2)}\n` };
}
