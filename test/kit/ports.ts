import { createServer, type Server } from 'node:net';

/**
 * Below those that the kernel gives to connections and to whoever asks for any port (32768 and up): one of these would be taken
 * between its choice and its use, now and then, by a test that runs beside.
 */
const lowest = 10_000;
const highest = 29_999;

/** Ports of 127.0.0.1 that were free a moment ago, all different: for programs that cannot choose one themselves. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  while (servers.length < count) {
    const server = await listening(lowest + Math.floor(Math.random() * (highest + 1 - lowest)));
    if (server !== null) servers.push(server);
  }
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** null: somebody has that port. */
function listening(port: number): Promise<Server | null> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(null);
      else reject(error);
    });
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
