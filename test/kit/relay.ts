import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { eventually } from './wait.ts';

/** A wire between two parts that a test can cut: connections break, new ones are refused, until it is mended. */
export class Relay {
  /** How long bytes are under way, each way; Infinity: they are taken and never arrive. */
  delayMs = 0;
  /** Port that new connections go to. */
  target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;
  #port = 0;

  constructor(target: number) {
    this.target = target;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  /** Listens; after a cut, on the same port as before, once a connection of others that has got it meanwhile is over. */
  async mend(): Promise<void> {
    if (this.#server !== null) return;
    const server = createServer((near) => this.#join(near, connect(this.target, '127.0.0.1')));
    this.#server = server;
    await eventually(async () => await isListening(server, this.#port), 'the port of a relay to be free');
    this.#port = (server.address() as { port: number }).port;
  }

  async cut(): Promise<void> {
    const closed = new Promise((resolve) => this.#server?.close(resolve) ?? resolve(null));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    this.#server = null;
  }

  #join(near: Socket, far: Socket): void {
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        // What it said last still arrives.
        other.destroySoon();
      });
      socket.on('data', (bytes: Buffer) => {
        if (this.delayMs > 0) {
          if (this.delayMs !== Number.POSITIVE_INFINITY) setTimeout(() => other.write(bytes), this.delayMs);
        } else if (!other.write(bytes)) {
          socket.pause();
          other.once('drain', () => socket.resume());
        }
      });
      socket.on('end', () => other.end());
    }
  }
}

async function isListening(server: Server, port: number): Promise<true | undefined> {
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    return undefined;
  }
}
