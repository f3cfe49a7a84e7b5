import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';

/** The sockets of beats, one of each family that this machine has. */
export class BeatSocket {
  readonly #sockets: ReadonlyMap<boolean, Socket>;
  /** Why there is none; null: there is. */
  readonly failure: string | null;

  private constructor(sockets: ReadonlyMap<boolean, Socket>, failure: string | null) {
    this.#sockets = sockets;
    this.failure = failure;
  }

  static async open(port: number, onDatagram: (datagram: Buffer) => void, log: Log): Promise<BeatSocket> {
    const sockets = new Map<boolean, Socket>();
    let failure: string | null = null;
    for (const isV6 of [false, true]) {
      const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', ipv6Only: isV6 });
      try {
        const isBound = once(socket, 'listening');
        socket.bind(port);
        await isBound;
        // What a network says of a datagram that was sent is no failure of ours.
        socket.on('error', (error) => log.debug({ err: reasonOf(error) }, 'a beat was not sent'));
        socket.on('message', onDatagram);
        sockets.set(isV6, socket);
      } catch (error) {
        socket.close();
        failure = reasonOf(error);
      }
    }
    return new BeatSocket(sockets, sockets.size > 0 ? null : failure);
  }

  send(datagram: Buffer, address: string, port: number): void {
    this.#sockets.get(address.includes(':'))?.send(datagram, port, address, () => {});
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
  }
}
