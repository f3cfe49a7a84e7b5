import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AdminPort, listenAdmin } from '#kit/listenadmin.ts';
import type { Log } from '#kit/log.ts';
import { openPassThrough, type PassThrough } from './passthrough.ts';

/** What a page shows: JSON of a value, or text as it is. */
type Page = () => { status?: number; text: string } | { json: unknown };

/** Whose pages are shown below ours. */
interface Follower {
  readonly name: string;
  /** Origin of its admin pages; null: it has not said so. */
  readonly admin: string | null;
}

export interface PagesOptions {
  readonly address: string;
  /** 0 lets the kernel choose. */
  readonly port: number;
  /** By path. */
  readonly pages: Readonly<Record<string, Page>>;
  /** By the page that lists them; theirs are below: `/proxies/<name>/tables`. */
  readonly followers: Readonly<Record<string, () => readonly Follower[]>>;
  readonly log: Log;
}

/**
 * The controller's pages for probes, Prometheus and people, and those of whoever follows it. They only show, and none shows a
 * secret.
 *
 * @throws When the port cannot be bound.
 */
export async function openPages(options: PagesOptions): Promise<AdminPort> {
  const passThrough = openPassThrough(options.log);
  const open = await listenAdmin(() => pageServer(options, passThrough), options.address, options.port);
  return {
    port: open.port,
    async close() {
      await open.close();
      passThrough.close();
    },
  };
}

function pageServer({ pages, followers }: PagesOptions, passThrough: PassThrough): Server {
  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 5_000, keepAliveTimeout: 30_000 },
    (request, response) => {
      const url = URL.parse(request.url ?? '/', 'http://controller');
      const path = url?.pathname ?? '/';
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (!isRead) return show(request, response, { status: 405, text: 'only GET\n' });
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (page !== undefined) return show(request, response, page());
      const below = pathBelow(path, Object.keys(followers));
      if (below === null) return show(request, response, { status: 404, text: `${Object.keys(pages).join('\n')}\n` });
      const follower = followers[below.list]?.().find(({ name }) => name === below.name);
      if (follower === undefined || !isPageName(below.page)) {
        return show(request, response, { status: 404, text: `there is no such page: see ${below.list}\n` });
      }
      if (follower.admin === null) {
        return show(request, response, { status: 404, text: `${below.name} has not said where its pages are\n` });
      }
      if (hasBody(request)) return show(request, response, { status: 400, text: 'no body is read\n' });
      passThrough.pass(request, response, follower.admin, `${below.page}${url?.search ?? ''}`);
    },
  );
  server.on('clientError', (_error, socket) => socket.destroy());
  return server;
}

/** `/proxies/<name>/<page>` in its parts; null: it is below none of the lists. */
function pathBelow(path: string, lists: readonly string[]): { list: string; name: string; page: string } | null {
  const list = lists.find((each) => path.startsWith(`${each}/`));
  if (list === undefined) return null;
  const [name = '', ...rest] = path.slice(list.length + 1).split('/');
  try {
    return { list, name: decodeURIComponent(name), page: `/${rest.join('/')}` };
  } catch {
    return null;
  }
}

/** All pages of proxies and edges are called like this; nothing else is asked of an address that a follower told us. */
function isPageName(page: string): boolean {
  return /^\/[a-z]{0,40}$/.test(page);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function show(request: IncomingMessage, response: ServerResponse, shown: ReturnType<Page>): void {
  request.resume();
  const { status, type, body } = render(shown);
  const allow = status === 405 ? { allow: 'GET, HEAD' } : {};
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store', ...allow });
  response.end(request.method === 'HEAD' ? '' : body);
}

function render(shown: ReturnType<Page>): { status: number; type: string; body: string } {
  if ('json' in shown) {
    return { status: 200, type: 'application/json', body: `${JSON.stringify(shown.json, null, 2)}\n` };
  }
  return { status: shown.status ?? 200, type: 'text/plain; charset=utf-8', body: shown.text };
}
