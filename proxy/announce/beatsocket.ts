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
  /** Why those of a family that the machine has could not be opened, as somebody else has the port; they are tried again. */
  readonly #failed = new Map<boolean, string>();
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
    const [failed] = this.#failed.values();
    return failed ?? (this.#sockets.size > 0 ? null : this.#absence);
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
    if (this.#failed.size === 0 || this.#isClosed) return;
    this.#retry = setTimeout(() => void this.#openAll([...this.#failed.keys()]), retryMs);
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
      if (absent.has((error as NodeJS.ErrnoException).code)) this.#absence = reasonOf(error);
      else this.#failed.set(isV6, reasonOf(error));
      return;
    }
    this.#failed.delete(isV6);
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
/** What a kernel says of a family that it does not have. */
const absent = new Set<string | undefined>(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL']);
