import net, { type Server } from 'node:net';
import { plainAddress } from '../match/ranges.ts';
import type { Door } from './door.ts';
import type { Gate } from './gate.ts';
import { refusals } from './refusals.ts';
import type { Source } from './sources.ts';

/** A connection that was let in. */
export interface Arrival {
  readonly handle: object;
  /** Of the peer. */
  readonly address: string;
  /** Where it is counted. */
  readonly source: Source;
}

export interface AcceptOptions {
  readonly gate: Gate;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  /** `goOn` lets Node make a socket of the handle, as if we had never seen it. */
  arrived(arrival: Arrival, goOn: () => void): void;
}

interface Handle {
  getpeername(out: { address?: string }): number;
  close(): void;
}

/** The one undocumented door of node:net that is used: where accepted handles arrive. Its absence is noticed at start. */
interface AcceptingServer {
  readonly _handle: { onconnection: (status: number, handle: Handle | undefined) => void } | null;
}

/** Puts the gate before a server: it stands where handles arrive, before anything is made for a connection. */
export function acceptThrough(server: Server, { gate, door, arrived }: AcceptOptions): void {
  server.on('listening', () => {
    const accepting = (server as unknown as AcceptingServer)._handle;
    if (typeof accepting?.onconnection !== 'function')
      throw new Error('this Node has no net.Server handle to accept from');
    const accept = accepting.onconnection;
    accepting.onconnection = (status, handle) => {
      // A failed accept (out of descriptors) is tried again by libuv when the next connection comes.
      if (status !== 0 || handle === undefined) return;
      const { isHttp, isTrusted, proxy } = door();
      const address = addressOf(handle);
      // Who sends PROXY headers stands for many clients, which are measured when the header has come.
      const source = gate.enter(address, proxy === null ? isTrusted(address) : proxy.isSource(address));
      if (typeof source !== 'string') arrived({ handle, address, source }, () => accept.call(accepting, 0, handle));
      else if (isHttp && gate.mayAnswer()) answerFull(handle);
      else handle.close();
    };
  });
}

/** '' of a peer that is gone already. */
function addressOf(handle: Handle): string {
  const name: { address?: string } = {};
  handle.getpeername(name);
  return plainAddress(name.address ?? '');
}

/** Turned away without being read. */
const fullAnswer =
  `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n` +
  `Content-Length: ${refusals.overload.sentence.length + 1}\r\n\r\n${refusals.overload.sentence}\n`;

function answerFull(handle: object): void {
  const socket = new net.Socket({ handle } as net.SocketConstructorOpts);
  socket.on('error', () => {});
  socket.end(fullAnswer, 'latin1', () => socket.destroySoon());
}
