import { plainWindowBytes } from './codes.ts';
import { Pieces } from './pieces.ts';

/**
 * One stream of a session. Used again when it is over: whoever holds one lets go of it in the callback that says so.
 * @typeParam T what the owner of the session keeps with it
 */
export class Stream<T> {
  id = 0;
  /** The owner's. */
  peer: T | null = null;
  /** Of one that the peer opened. */
  openedAtMs = 0;
  /** The peer has sent its END_STREAM. */
  isRemoteClosed = false;
  /** END_STREAM was sent. */
  isLocalClosed = false;
  /** A final head has come: what comes next are trailers. */
  hasHead = false;
  /** Its answer has no body whatever its Content-Length says (HEAD). Set by who opens the stream. */
  isBodiless = false;

  // What comes in.
  /** Bytes that the peer may still send. */
  receiveWindow = plainWindowBytes;
  /** What the window is filled up to. */
  windowBytes = plainWindowBytes;
  /** Body bytes that were handed to the owner and are not consumed. */
  unconsumed = 0;
  /** Consumed, and not yet told to the peer. */
  untold = 0;
  /** Content-Length minus what has come of it; -1 when unknown. */
  expected = -1;
  /** Its frames are longer than its body: what is expected does not tell how much window it needs. */
  isPadded = false;

  // What goes out.
  sendWindow = plainWindowBytes;
  /** Body bytes that the peer's windows or a full socket do not take; copies. */
  readonly pending = new Pieces();
  pendingBytes = 0;
  /** Offset in the first piece of it. */
  pendingAt = 0;
  /** Trailer lines that follow the pending bytes; null without. */
  pendingTrailers: string | null = null;
  /** END_STREAM waits. */
  isEndPending = false;
  /** Stands in the sender's round. */
  isWaiting = false;

  /** Both sides have sent all. */
  get isEnded(): boolean {
    return this.isRemoteClosed && this.isLocalClosed;
  }

  /** More is not to be written before `drained` is called. */
  get isFull(): boolean {
    return this.pendingBytes > 0;
  }

  begin(id: number, receiveWindow: number, sendWindow: number): void {
    this.id = id;
    this.peer = null;
    this.isRemoteClosed = this.isLocalClosed = this.hasHead = this.isBodiless = this.isPadded = false;
    this.receiveWindow = this.windowBytes = receiveWindow;
    this.unconsumed = this.untold = 0;
    this.expected = -1;
    this.sendWindow = sendWindow;
    this.dropPending();
  }

  dropPending(): void {
    this.pending.clear();
    this.pendingBytes = this.pendingAt = 0;
    this.pendingTrailers = null;
    this.isEndPending = false;
  }
}

const spares: Stream<unknown>[] = [];
const mostSpares = 1_024;

export function takeStream<T>(): Stream<T> {
  return (spares.pop() as Stream<T> | undefined) ?? new Stream<T>();
}

export function giveStream<T>(stream: Stream<T>): void {
  stream.peer = null;
  stream.dropPending();
  if (spares.length < mostSpares) spares.push(stream as Stream<unknown>);
}
