import type { Server } from 'node:net';
import { type SocketName, type TcpHandle, takeAccepted } from '../carry/handle.ts';
import { HandleLink } from '../carry/handlelink.ts';
import { nobody } from '../carry/link.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import { plainAddress } from '../match/ranges.ts';
import type { Door } from './door.ts';
import type { Gate } from './gate.ts';
import { refusals } from './refusals.ts';
import type { Source } from './sources.ts';

/** A connection that was let in. */
interface Arrival {
  readonly handle: TcpHandle;
  /** Of the peer. */
  readonly address: string;
  /** Where it is counted. */
  readonly source: Source;
}

export interface AcceptOptions {
  readonly gate: Gate;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  /** Whether something comes before the protocol of those that connect now. */
  isNascent(): boolean;
  arrived(arrival: Arrival): void;
}

/** Puts the gate before a server: it stands where handles arrive, before anything is made for a connection. */
export function acceptThrough(server: Server, { gate, door, isNascent, arrived }: AcceptOptions): void {
  const knocked = (handle: TcpHandle) => {
    const { isHttp, isTrusted, proxy } = door();
    const address = addressOf(handle);
    // It has reset what it opened, as some health checks do: there is nobody to look at, to answer or to tell of.
    if (address === '') {
      handle.close(nothing);
      return;
    }
    // Who sends PROXY headers stands for many clients, which are measured when the header has come.
    const source = gate.enter(address, proxy === null ? isTrusted(address) : proxy.isSource(address), isNascent());
    if (typeof source !== 'string') arrived({ handle, address, source });
    else if (isHttp && gate.mayAnswer()) answerFull(handle);
    else handle.close(nothing);
  };
  // Handshakes fill turns themselves: those that wait for theirs are better off in the kernel's queue than as more than may be begun.
  const perTurn = () => (isNascent() ? 1 : gate.pressure.acceptsPerTurn);
  server.on('listening', () => takeAccepted(server, knocked, perTurn));
}

/** '' of a peer that is gone already. */
function addressOf(handle: TcpHandle): string {
  const name: SocketName = {};
  handle.getpeername(name);
  return plainAddress(name.address ?? '');
}

/** Turned away without being read. */
const fullAnswer =
  `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: text/plain\r\n` +
  `Content-Length: ${refusals.overload.sentence.length + 1}\r\n\r\n${refusals.overload.sentence}\n`;

function answerFull(handle: TcpHandle): void {
  const link = new HandleLink(handle, handle, sharedClientBuffer);
  link.receiver = { ...nobody, emptied: () => link.destroy() };
  link.writeText(fullAnswer);
  link.end();
}

function nothing(): void {}
