import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a page shows: JSON of a value, or text as it is. */
export type Page = () => { status?: number; text: string } | { json: unknown };

export interface AdminServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The controller's pages for probes, Prometheus and people. They only show, and none shows a secret.
 *
 * @param pages By path.
 * @throws When the port cannot be bound.
 */
export async function openPages(
  address: string,
  port: number,
  pages: Readonly<Record<string, Page>>,
): Promise<AdminServer> {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
    request.resume();
    const path = URL.parse(request.url ?? '/', 'http://controller')?.pathname ?? '/';
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    const shown = isRead ? page?.() : { status: 405, text: 'only GET\n' };
    const { status, type, body } = render(shown ?? { status: 404, text: `${Object.keys(pages).join('\n')}\n` });
    response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' });
    response.end(request.method === 'HEAD' ? '' : body);
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    // Stays: a failed accept (out of descriptors) is told here later, and is not the end of the pages.
    server.on('error', reject);
    server.listen(port, address, () => resolve());
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function render(shown: ReturnType<Page>): { status: number; type: string; body: string } {
  if ('json' in shown) {
    return { status: 200, type: 'application/json', body: `${JSON.stringify(shown.json, null, 2)}\n` };
  }
  return { status: shown.status ?? 200, type: 'text/plain; charset=utf-8', body: shown.text };
}
