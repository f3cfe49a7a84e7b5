/** As much of an HTTP server as is needed here. */
interface PageServer {
  on(event: 'error', heard: (error: NodeJS.ErrnoException) => void): unknown;
  listen(port: number, address: string, done: () => void): unknown;
  address(): string | { readonly port: number } | null;
  close(done: () => void): unknown;
  closeAllConnections(): void;
}

/** How often the kernel is asked for another port where the one that it chose is free at one of the addresses only. */
const mostChoices = 16;

export interface AdminPort {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Opens admin pages on an address, and on loopback besides, where `kubectl port-forward`, health checks of the image and whoever
 * is on the machine come from; so that a pod with the network of its node shows them on no other address of it.
 *
 * @param make a server of the pages, that does not listen yet
 * @param port 0: the kernel chooses one that is free at both
 * @throws when it cannot be bound, with the reason
 */
export async function listenAdmin(make: () => PageServer, address: string, port: number): Promise<AdminPort> {
  for (let choices = 1; ; choices++) {
    const first = make();
    await listening(first, address, port);
    const bound = first.address();
    const chosen = typeof bound === 'object' && bound !== null ? bound.port : port;
    const loopback = loopbackBeside(address);
    if (loopback === null) return { port: chosen, close: () => ended(first) };
    const beside = make();
    try {
      await listening(beside, loopback, chosen);
    } catch (error) {
      await ended(first);
      if (port === 0 && choices < mostChoices && error instanceof PortTaken) continue;
      throw error;
    }
    return {
      port: chosen,
      async close() {
        await Promise.all([ended(first), ended(beside)]);
      },
    };
  }
}

class PortTaken extends Error {}

/** null: it is heard at that address already. */
function loopbackBeside(address: string): string | null {
  if (address === '' || address === '0.0.0.0' || address === '::' || address === '::1' || address.startsWith('127.'))
    return null;
  return address.includes(':') ? '::1' : '127.0.0.1';
}

function listening(server: PageServer, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    // Stays: a failed accept (out of descriptors) is told here later, and is not the end of the pages.
    server.on('error', (error) => {
      const what = `cannot open the admin pages on ${address} port ${port}`;
      if (error.code === 'EADDRINUSE') reject(new PortTaken(`${what}: the port is in use by another process`));
      else reject(new Error(`${what}: ${error.message}`));
    });
    server.listen(port, address, resolve);
  });
}

function ended(server: PageServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}
