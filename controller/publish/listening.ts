import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';

/**
 * Binds a server.
 *
 * @param address '' for all
 * @param port 0 lets the kernel choose
 * @param onError hears what fails later, as an accept for want of descriptors; without it that would end the process
 * @returns the port
 * @throws when it cannot be bound
 */
export async function listening(
  server: Server,
  address: string,
  port: number,
  onError: (error: Error) => void,
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  server.on('error', onError);
  return (server.address() as AddressInfo).port;
}

/** Closes a server and all its connections, whatever is under way on them. */
export function ended(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
