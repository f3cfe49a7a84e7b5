import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';

export interface BeatSocketOptions {
  readonly port: number;
  onDatagram(datagram: Buffer): void;
  readonly log: Log;
}

/** The sockets of beats, one of each family that this machine has. */
export class BeatSocket {
  readonly #options: BeatSocketOptions;
  /** By whether they are of IPv6. */
  readonly #sockets = new Map<boolean, Socket>();
  /** Somebody else has the port of that family; it is tried again. */
  readonly #taken = new Map<boolean, string>();
  /** Why the machine does not have a family. */
  #absence: string | null = null;
  #retry: NodeJS.Timeout | null = null;
  #isClosed = false;

  private constructor(options: BeatSocketOptions) {
    this.#options = options;
  }

  static async open(options: BeatSocketOptions): Promise<BeatSocket> {
    const socket = new BeatSocket(options);
    await socket.#openAll([false, true]);
    return socket;
  }

  /** Why nobody is heard, by a family that the machine has; null: whoever speaks. */
  get failure(): string | null {
    const [taken] = this.#taken.values();
    return taken ?? (this.#sockets.size > 0 ? null : this.#absence);
  }

  send(datagram: Buffer, address: string, port: number): void {
    this.#sockets.get(address.includes(':'))?.send(datagram, port, address, () => {});
  }

  close(): void {
    this.#isClosed = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    for (const socket of this.#sockets.values()) socket.close();
  }

  async #openAll(families: readonly boolean[]): Promise<void> {
    for (const isV6 of families) await this.#open(isV6);
    if (this.#taken.size === 0 || this.#isClosed) return;
    this.#retry = setTimeout(() => void this.#openAll([...this.#taken.keys()]), retryMs);
  }

  async #open(isV6: boolean): Promise<void> {
    const { port, onDatagram, log } = this.#options;
    const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6 });
    try {
      const isBound = once(socket, 'listening');
      socket.bind(port);
      await isBound;
    } catch (error) {
      socket.close();
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') this.#taken.set(isV6, reasonOf(error));
      else this.#absence = reasonOf(error);
      return;
    }
    this.#taken.delete(isV6);
    if (this.#isClosed) {
      socket.close();
      return;
    }
    // What a network says of a datagram that was sent is no failure of ours.
    socket.on('error', (error) => log.debug({ err: reasonOf(error) }, 'a beat was not sent'));
    socket.on('message', onDatagram);
    this.#sockets.set(isV6, socket);
  }
}

const retryMs = 2_000;
