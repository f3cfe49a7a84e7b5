import { isIPv6 } from 'node:net';
import { type ConnectRequest, newConnect, newTcp, type TcpHandle } from './handle.ts';
import { HandleLink } from './handlelink.ts';
import type { Receiver } from './link.ts';

/** Who waits for a connection that is being opened. */
export interface Caller extends Receiver {
  /** It is there, and is being read. */
  connected(): void;
}

/**
 * Opens a TCP connection. Whatever comes of it is told in a later turn of the loop.
 *
 * @param address IPv4 or IPv6
 * @param shared where reads go that the caller has no chunk for
 */
export function connect(caller: Caller, address: string, port: number, shared: Buffer): HandleLink {
  return new Dialled(caller, newTcp(), address, port, shared);
}

class Dialled extends HandleLink {
  readonly #caller: Caller;

  constructor(caller: Caller, handle: TcpHandle, address: string, port: number, shared: Buffer) {
    super(handle, handle, shared);
    this.receiver = this.#caller = caller;
    this.isConnecting = true;
    const request = newConnect(this, afterConnect);
    const errno = isIPv6(address) ? handle.connect6(request, address, port) : handle.connect(request, address, port);
    if (errno === 0) handle.setNoDelay(true);
    else this.fail(errno);
  }

  /** A server that answers early and closes resets what it has not read: its answer lies here, ahead of the reset (RFC 9112 §9.6). */
  protected override get hearsOut(): boolean {
    return true;
  }

  answered(status: number): void {
    if (this.isDestroyed) return;
    if (status < 0) {
      this.fail(status);
      return;
    }
    this.isConnecting = false;
    this.resume();
    this.#caller.connected();
  }
}

function afterConnect(this: ConnectRequest, status: number): void {
  (this.owner as Dialled).answered(status);
}
