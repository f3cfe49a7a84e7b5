import { ClosedStreams, closings } from './closedstreams.ts';
import { errorCodes, frameFlags, frameTypes, preface, settingIds } from './codes.ts';
import { takeControl } from './control.ts';
import { Decoder } from './decoder.ts';
import { FieldBlock } from './fieldblock.ts';
import { FrameReader, type FrameSink } from './framereader.ts';
import { Inflow } from './inflow.ts';
import { takeContinuation, takeHeaders, takeStray } from './messages.ts';
import type { Output } from './output.ts';
import type { SessionLimits, SessionOwner } from './owner.ts';
import { costs, Patience } from './patience.ts';
import { type SendEvents, Sender } from './sender.ts';
import { PeerSettings } from './settings.ts';
import { giveStream, type Stream, takeStream } from './stream.ts';

const highestStreamId = 0x7fffffff;

/**
 * One HTTP/2 connection, of either side (RFC 9113), without a socket and without a clock: bytes go in by receive(), come
 * out by `output`, and what they mean is told to the owner. Rules that a peer breaks end its stream or the connection here;
 * the owner hears of requests and answers that keep them.
 */
export class Session<T> implements FrameSink, SendEvents<T> {
  readonly isServer: boolean;
  readonly owner: SessionOwner<T>;
  readonly limits: SessionLimits;
  readonly sender: Sender<T>;
  readonly inflow: Inflow<T>;
  readonly decoder = new Decoder();
  readonly peer = new PeerSettings();
  readonly closed = new ClosedStreams();
  readonly block = new FieldBlock();
  readonly streams = new Map<number, Stream<T>>();
  /** Nothing more is read: the connection failed or was closed. */
  isOver = false;
  /** The highest stream that the peer opened. */
  lastPeerId = 0;
  /** Of a client. */
  nextId = 1;
  /** GOAWAY was sent: streams of the peer above this one are not taken. Infinity: it was not, for the last may be any id. */
  goneId = Number.POSITIVE_INFINITY;
  /** GOAWAY came: no stream may be opened. */
  isPeerGoing = false;
  /** The peer's first SETTINGS have come. */
  isSettled = false;
  nowMs: number;
  readonly #patience: Patience;
  readonly reader: FrameReader;
  #prefaceAt = 0;
  #isShuttingDown = false;

  // The DATA frame that is being read.
  #dataStream: Stream<T> | null = null;
  #dataEnds = false;
  #dataLeft = 0;

  /** Its first frames are in the output at once. */
  constructor(role: 'client' | 'server', owner: SessionOwner<T>, limits: SessionLimits, nowMs: number) {
    this.isServer = role === 'server';
    this.owner = owner;
    this.limits = limits;
    this.nowMs = nowMs;
    this.sender = new Sender(this);
    this.inflow = new Inflow(this.sender, limits);
    this.#patience = new Patience(nowMs);
    this.reader = new FrameReader(this);
    this.#greet();
  }

  #greet(): void {
    const { sender, limits } = this;
    if (!this.isServer) {
      this.#prefaceAt = preface.length;
      sender.output.reserve(preface.length);
      sender.output.length += preface.copy(sender.output.bytes, 0);
    }
    sender.settings([
      this.isServer ? [settingIds.maxConcurrentStreams, limits.streams] : [settingIds.enablePush, 0],
      [settingIds.initialWindowSize, limits.streamWindowBytes],
      [settingIds.maxHeaderListSize, limits.section.listBytes],
      ...(this.isServer ? [[settingIds.enableConnectProtocol, 1] as const] : []),
    ]);
    this.inflow.start();
  }

  /** What is to be written. pump() comes before. */
  get output(): Output {
    return this.sender.output;
  }

  /** A stream can be opened now. */
  get hasRoom(): boolean {
    if (this.isOver || this.isPeerGoing || this.nextId > highestStreamId) return false;
    return this.streams.size < this.peer.maxConcurrentStreams;
  }

  /** No stream is open, and the peer knows that it can open none. */
  get isDrained(): boolean {
    return Number.isFinite(this.goneId) && this.streams.size === 0;
  }

  /** Bytes came. They are the caller's again when this returns. */
  receive(bytes: Buffer, start: number, end: number, nowMs: number): void {
    this.nowMs = nowMs;
    let at = start;
    while (this.#prefaceAt < preface.length && at < end) {
      if (bytes[at++] === preface[this.#prefaceAt++]) continue;
      this.fail(errorCodes.protocolError);
      return;
    }
    this.reader.read(bytes, at, end);
  }

  /** Puts what can be sent of what waits into the output. */
  pump(): void {
    this.sender.isAwake = false;
    this.sender.pump();
    this.#countMoved();
  }

  #countMoved(): void {
    const { sender } = this;
    this.#patience.moved(sender.movedBytes, sender.movedFrames);
    sender.movedBytes = sender.movedFrames = 0;
  }

  /** Opens a stream, if there is room (`hasRoom`). request() follows. */
  open(peer: T): Stream<T> {
    const stream = takeStream<T>();
    stream.begin(this.nextId, this.limits.streamWindowBytes, this.sender.streamWindow);
    stream.peer = peer;
    this.nextId += 2;
    this.streams.set(stream.id, stream);
    return stream;
  }

  /** @param pseudos `:name: value` each */
  request(stream: Stream<T>, pseudos: readonly string[], lines: string, isEnd: boolean): void {
    this.sender.request(stream, pseudos, lines, isEnd);
  }

  /** Final or interim. @param lines `name: value` CRLF each, names in any case; those of a connection are left out */
  respond(stream: Stream<T>, status: number, lines: string, isEnd: boolean): void {
    this.sender.head(stream, status, lines, isEnd);
  }

  /** Body bytes; they are the caller's again when this returns. If `stream.isFull` then, more comes after `drained`. */
  data(stream: Stream<T>, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    this.sender.data(stream, bytes, start, end, isEnd);
  }

  trailers(stream: Stream<T>, lines: string): void {
    this.sender.trailers(stream, lines);
  }

  /** Body bytes that the owner was given are done with. */
  consumed(stream: Stream<T>, bytes: number): void {
    stream.unconsumed -= bytes;
    this.inflow.refundStream(stream, bytes);
  }

  /** Ends a stream at once. The owner, who says so, is not told; nor is a peer with whom it has ended anyway (RFC 9113 §5.1). */
  reset(stream: Stream<T>, code: number): void {
    if (!this.isOver && !stream.isEnded) this.sender.reset(stream.id, code);
    this.#forget(stream);
    if (stream.isEnded) this.closed.ended(stream.id);
    else this.gaveUp(stream.id);
    giveStream(stream);
  }

  /** A stream is over because we say so. */
  gaveUp(streamId: number): void {
    this.closed.reset(streamId, closings.byUs);
    this.#patience.gaveUp(this.limits.mostStreamWindowBytes);
  }

  /**
   * Lets the peer finish and open nothing more. In two steps, because what it opens now has crossed the first word
   * (RFC 9113 §6.8): the second follows when a PING that goes with the first has come back.
   */
  shutDown(): void {
    if (this.#isShuttingDown || this.isOver) return;
    this.#isShuttingDown = true;
    this.sender.goAway(highestStreamId, errorCodes.noError, '');
    this.sender.ping(0, shutdownPing, 0);
  }

  /** The second step: not for the PING to come back, but because the time for it is over. */
  goAway(): void {
    if (this.isOver || Number.isFinite(this.goneId)) return;
    this.goneId = this.lastPeerId;
    this.sender.goAway(this.lastPeerId, errorCodes.noError, '');
  }

  /** A PING of ours came back. */
  pinged(bytes: Buffer, start: number): void {
    if (this.#isShuttingDown && bytes.compare(shutdownPing, 0, 8, start, start + 8) === 0) this.goAway();
  }

  /** Ends the connection: the peer has broken a rule of it. */
  fail(code: number): void {
    if (this.isOver) return;
    // Never above what was said before (RFC 9113 §6.8): a client may have sent anew what was not taken.
    this.sender.goAway(Math.min(this.lastPeerId, this.goneId), code, '');
    this.close(code);
    this.owner.failed(code);
  }

  /** The connection is gone: every stream is. */
  close(code: number): void {
    this.isOver = true;
    for (const stream of this.streams.values()) {
      this.#forget(stream);
      this.owner.reset(stream, code);
      giveStream(stream);
    }
  }

  /** The peer's patience is ours: each act that costs more than it is worth is counted (patience.ts). */
  spend(points: number): void {
    // What an output that was full made go at once may be answered before the turn ends.
    this.#countMoved();
    if (!this.#patience.spend(points, this.nowMs)) this.fail(errorCodes.enhanceYourCalm);
  }

  /** The peer broke a rule on a stream. */
  streamError(stream: Stream<T>, code: number): void {
    const { id } = stream;
    this.#forget(stream);
    this.owner.broken(stream, code);
    giveStream(stream);
    this.sender.reset(id, code);
    this.gaveUp(id);
    // Whoever asks a server for an answer that breaks a rule must not end those of others: it is one for each request.
    if (this.isServer) this.spend(costs.violation);
  }

  /** Ends a stream that the owner knows nothing of. */
  refuse(streamId: number, code: number, points: number): void {
    this.sender.reset(streamId, code);
    this.gaveUp(streamId);
    this.spend(points);
  }

  /** The peer has reset a stream. */
  resetByPeer(stream: Stream<T>, code: number): void {
    this.#forget(stream);
    this.closed.reset(stream.id, closings.byPeer);
    this.owner.reset(stream, code);
    giveStream(stream);
  }

  /** @returns whether nothing has ever come or gone on the stream (RFC 9113 §5.1) */
  isIdle(streamId: number): boolean {
    if (this.isServer) return (streamId & 1) === 0 || streamId > this.lastPeerId;
    return (streamId & 1) === 0 || streamId >= this.nextId;
  }

  /** @param bytes of a frame for a stream that is over because we said so. @returns whether they may have been sent before */
  wasOnItsWay(bytes: number): boolean {
    // A server is not to pay for clients of ours that take much back at once.
    return !this.isServer || this.#patience.wasOnItsWay(bytes);
  }

  /** The peer's side of the stream is closed: with ours it is over. */
  endedByPeer(id: number): void {
    const stream = this.streams.get(id);
    if (stream?.isLocalClosed) this.#finish(stream);
  }

  #finish(stream: Stream<T>): void {
    this.#forget(stream);
    this.closed.ended(stream.id);
    this.#patience.streamDone();
    this.owner.finished(stream);
    giveStream(stream);
  }

  #forget(stream: Stream<T>): void {
    this.streams.delete(stream.id);
    this.sender.forget(stream);
    if (this.#dataStream === stream) this.#dataStream = null;
    if (!this.isOver) this.inflow.forget(stream);
  }

  /** The peer takes more. */
  windowOpened(): void {
    this.sender.windowOpened();
    this.spend(costs.windowUpdate);
  }

  // What the frame reader tells.

  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const isInBlock = this.block.streamId !== 0;
    if (isInBlock !== (type === frameTypes.continuation) || !(this.isSettled || type === frameTypes.settings)) {
      this.fail(errorCodes.protocolError);
    } else if (type === frameTypes.headers) {
      takeHeaders(this, flags, streamId, bytes, start, end);
    } else if (isInBlock) {
      takeContinuation(this, flags, streamId, bytes, start, end);
    } else {
      takeControl(this, type, flags, streamId, bytes, start, end);
    }
  }

  dataBegins(flags: number, streamId: number, length: number): void {
    this.#dataStream = null;
    this.#dataLeft = length;
    if (!this.isSettled || this.block.streamId !== 0 || streamId === 0) {
      this.fail(errorCodes.protocolError);
      return;
    }
    if (!this.inflow.take(length)) {
      this.fail(errorCodes.flowControlError);
      return;
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      takeStray(this, streamId, length, errorCodes.streamClosed);
    } else if (stream.isRemoteClosed) {
      this.streamError(stream, errorCodes.streamClosed);
    } else if (!stream.hasHead) {
      this.streamError(stream, errorCodes.protocolError);
    } else if (length > stream.receiveWindow) {
      this.streamError(stream, errorCodes.flowControlError);
    } else {
      stream.receiveWindow -= length;
      this.#dataStream = stream;
      this.#dataEnds = (flags & frameFlags.endStream) !== 0;
    }
  }

  dataBytes(bytes: Buffer, start: number, end: number, isLast: boolean): void {
    const count = end - start;
    const stream = this.#dataStream;
    this.#dataLeft -= count;
    // What is left of the frame then is padding, which nobody reads.
    const padding = isLast ? this.#dataLeft : 0;
    if (stream === null) {
      if (!this.isOver) this.inflow.refund(count + padding);
      return;
    }
    if (padding > 0) {
      stream.isPadded = true;
      this.inflow.refundStream(stream, padding);
    }
    const isEnd = isLast && this.#dataEnds;
    if (stream.expected !== -1) {
      stream.expected -= count;
      if (stream.expected < 0 || (isEnd && stream.expected > 0)) {
        // RFC 9113 §8.1.1.
        this.inflow.refund(count);
        this.streamError(stream, errorCodes.protocolError);
        return;
      }
    }
    if (count === 0 && !isEnd) {
      this.spend(this.isServer ? costs.emptyData : costs.pointless);
      return;
    }
    const { id } = stream;
    stream.isRemoteClosed = isEnd;
    stream.unconsumed += count;
    this.#patience.moved(count, isLast && count > 0 ? 1 : 0);
    this.owner.data(stream, bytes, start, end, isEnd);
    if (isEnd) this.endedByPeer(id);
  }

  badPadding(): void {
    this.fail(errorCodes.protocolError);
  }

  tooLong(): void {
    this.fail(errorCodes.frameSizeError);
  }

  // What the sender tells.

  wake(): void {
    this.owner.wake();
  }

  overflow(): void {
    this.owner.overflow();
  }

  sentEnd(stream: Stream<T>): void {
    if (stream.isRemoteClosed) this.#finish(stream);
    else this.owner.sent(stream);
  }

  drained(stream: Stream<T>): void {
    this.owner.drained(stream);
  }
}

/** Nothing else of ours is ever sent as a PING. */
const shutdownPing = Buffer.from('goodbye!', 'latin1');
