import { createServer } from 'node:http';

export interface NodeHealthOptions {
  readonly port: number;
  /** null when the rules are in force, else why not. */
  unreadyReason(): string | null;
  /** The node is about to go. */
  isLeaving(): boolean;
}

/**
 * What load balancers outside ask of every node, where Services take traffic on all of them (KEP-3836): `/healthz` fails while
 * the rules are stale and when the node is about to go, so that no new connections come; `/livez` ignores the latter. As of
 * kube-proxy, whose port this is where there is none.
 * @throws when the port is taken
 */
export async function openNodeHealth({ port, unreadyReason, isLeaving }: NodeHealthOptions): Promise<() => void> {
  const server = createServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (request, response) => {
    const isFit = unreadyReason() === null;
    const nodeEligible = !isLeaving();
    const status = { '/healthz': isFit && nodeEligible, '/livez': isFit }[request.url?.split('?')[0] ?? ''];
    request.resume();
    response.writeHead(status === undefined ? 404 : status ? 200 : 503, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ currentTime: new Date().toISOString(), nodeEligible }));
  });
  server.on('clientError', (_error, socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(new Error(`the node health port ${port} cannot be opened: ${error.code}`));
    });
    server.listen(port, resolve);
  });
  return () => {
    server.close();
    server.closeAllConnections();
  };
}
