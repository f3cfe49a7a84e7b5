import net, { type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { sharedClientBuffer, shortBytes } from '../forward/relay.ts';
import type { SocketConnection } from './connection.ts';

/** Who gets the bytes of a client's socket, and hears of its fate. */
export type Receiver = Pick<SocketConnection, 'chunk' | 'receive' | 'ended' | 'emptied' | 'closed'>;

/** A client's socket. Who receives may change on the way: what precedes the protocol, the protocol, another protocol. */
export class Accepted {
  readonly socket: Socket;
  receiver: Receiver = nobody;

  private constructor(socket: Socket) {
    this.socket = socket;
    // `close` follows every error and says what there is to say.
    socket.on('error', ignore);
    socket.on('end', () => this.receiver.ended());
    socket.on('drain', () => this.receiver.emptied());
    socket.on('close', () => this.receiver.closed());
  }

  /** A plain socket, which reads into the shared buffer; nothing is read before resume(). */
  static ofHandle(handle: object): Accepted {
    let accepted: Accepted | null = null;
    const socket = new net.Socket({
      handle,
      allowHalfOpen: true,
      manualStart: true,
      writableHighWaterMark: shortBytes,
      onread: {
        buffer: () => accepted?.receiver.chunk ?? sharedClientBuffer,
        callback(length: number, buffer: Buffer): boolean {
          accepted?.receiver.receive(buffer, 0, length);
          return true;
        },
      },
    } as net.SocketConstructorOpts);
    accepted = new Accepted(socket);
    socket.setNoDelay(true);
    return accepted;
  }

  /** A socket whose handshake is done. */
  static ofTls(socket: TLSSocket): Accepted {
    const accepted = new Accepted(socket);
    socket.on('data', (bytes: Buffer) => accepted.receiver.receive(bytes, 0, bytes.length));
    return accepted;
  }
}

function ignore(): void {}

export const nobody: Receiver = { chunk: null, receive: ignore, ended: ignore, emptied: ignore, closed: ignore };
