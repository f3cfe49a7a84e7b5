import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { SessionEnd } from './h2pair.ts';

/** A backend of HTTP/2 in the clear whose connections are SessionEnds: it says what a test has them say. */
export class SessionBackend {
  /** So many have been opened. */
  connections = 0;
  /** The first so many are dead: they take bytes, and do nothing with them. */
  dead = 0;
  readonly #server;
  readonly #sockets = new Set<Socket>();

  private constructor(open: () => SessionEnd) {
    this.#server = createServer((socket) => {
      const index = ++this.connections;
      const end = open();
      const write = () => {
        for (let bytes = end.takeOutput(); bytes.length > 0; bytes = end.takeOutput()) socket.write(bytes);
      };
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('data', (bytes: Buffer) => {
        if (index <= this.dead) return;
        end.receive(bytes);
        write();
      });
      write();
    });
  }

  /** @param open what each connection is */
  static async start(open: () => SessionEnd): Promise<SessionBackend> {
    const backend = new SessionBackend(open);
    await new Promise<void>((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    return backend;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Ends all connections without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Takes no more connections. */
  async stop(): Promise<void> {
    this.#server.close();
  }
}
