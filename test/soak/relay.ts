import { connect, createServer, type Server, type Socket } from 'node:net';

/** How a relay treats those who connect: how long it holds back each answer, ms; `mute`: it takes bytes and never answers. */
export type Manner = number | 'mute';

/** A TCP relay between a client and a server that is well, so that the client's server can be bad in ways that no server offers. */
export class Relay {
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | null = null;

  constructor(port: number) {
    this.#port = port;
  }

  /** From now on like this; connections of before are cut. */
  async open(target: number, manner: Manner): Promise<void> {
    await this.close();
    const server = createServer((client) => this.#serve(client, target, manner));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
  }

  /** Connections are cut, new ones refused. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== null) await new Promise((resolve) => server.close(resolve));
  }

  #serve(client: Socket, target: number, manner: Manner): void {
    this.#keep(client);
    if (manner === 'mute') {
      client.resume();
      return;
    }
    const server = this.#keep(connect(target, '127.0.0.1'));
    client.pipe(server);
    server.on('data', (bytes: Buffer) => {
      if (manner === 0) client.write(bytes);
      else setTimeout(() => client.destroyed || client.write(bytes), manner);
    });
    server.on('close', () => client.destroy());
    client.on('close', () => server.destroy());
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}
