import { type Link, lateBytesOf } from '../carry/link.ts';
import type { Engine } from '../forward/engine.ts';
import { takeExchange } from '../forward/exchange.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import { keptBytes, requestBytes, takenBytes } from '../forward/requestbody.ts';
import type { Peer } from '../forward/sides.ts';
import { errorCodes } from '../frame/codes.ts';
import type { SessionOwner } from '../frame/owner.ts';
import type { FieldSection } from '../frame/section.ts';
import { Session } from '../frame/session.ts';
import type { Stream } from '../frame/stream.ts';
import type { ClientProof } from './clientproof.ts';
import { clock, readClock } from './clock.ts';
import type { SocketConnection } from './connection.ts';
import type { Door } from './door.ts';
import { tellMalformed, wasBroken } from './h2broken.ts';
import { endStreams } from './h2cutoff.ts';
import { interpretStream } from './h2interpret.ts';
import { sessionLimitsOf } from './h2limits.ts';
import { type H2Stream, type StreamHome, takeH2Stream } from './h2stream.ts';
import { atTurnEnd, type Gathering } from './turn.ts';

/** Unsent frames at which nothing more is read: whoever asks without reading answers must not fill the worker. */
const mostUnsentBytes = 262_144;
const never = Number.POSITIVE_INFINITY;

/**
 * One client's HTTP/2 connection: its socket, its deadlines and its streams. Requests start when the reads of a turn are
 * over: those that were taken back by then cost no backend anything (CVE-2023-44487). All frames of a turn are one write.
 */
export class H2Connection implements SocketConnection, SessionOwner<H2Stream>, StreamHome, Gathering {
  expiresAtMs: number;
  sweepIndex = -1;
  idleSinceMs: number;
  readonly chunk = null;
  readonly engine: Engine;
  readonly peer: Peer;
  readonly session: Session<H2Stream>;
  requestsInFlight = 0;
  readonly #link: Link;
  /** Streams whose request is not started. */
  #starting: H2Stream[] = [];
  requests = 0;
  lastRequest: number;
  leavesAtMs = never;
  requestsSeen = 0;
  idleLooks = 0;
  #isTurnDue = false;
  /** A stream was reset since the last turn. */
  #sawReset = false;
  /** A write is not finished. */
  #isWriting = false;
  #isPaused = false;
  /** The client was asked to open no more streams. */
  #isLeaving = false;
  /** Nothing more is taken from the client, or it sends no more. */
  #isClosing = false;
  #isClosed = false;
  // Deadlines: the peer's first SETTINGS, its first request or the next one, the rest of a field block, a write, its word that it has
  // heard of the end.
  #settleByMs: number;
  #requestByMs = never;
  #blockByMs = never;
  /** The stream whose field block was not whole at the end of the last read; 0: none. */
  #blockOf = 0;
  #writeByMs = never;
  #heardByMs = never;
  #closeByMs = never;

  constructor(engine: Engine, peer: Peer, link: Link) {
    this.engine = engine;
    this.peer = peer;
    this.#link = link;
    this.lastRequest = peer.door.limits.requestsPerConnection;
    readClock();
    this.idleSinceMs = clock.nowMs;
    const { limits } = engine;
    this.#settleByMs = this.expiresAtMs = clock.nowMs + limits.settingsMs;
    this.session = new Session('server', this, sessionLimitsOf(peer.door.limits), clock.nowMs);
  }

  get proof(): ClientProof | null {
    return this.peer.proof;
  }

  get isIdle(): boolean {
    const { streams, output } = this.session;
    return streams.size === 0 && !this.#isWriting && output.length === 0 && !this.#link.isDestroyed;
  }

  get heldBytes(): number {
    if (this.#link.isDestroyed) return 0;
    const { output, decoder, streams } = this.session;
    let bytes = output.length + this.#link.unsentBytes + this.#link.roomBytes + this.#begunBytes + decoder.heldBytes;
    for (const { pendingBytes, pendingTrailers, unconsumed, peer } of streams.values()) {
      const exchange = peer?.exchange ?? null;
      bytes += unconsumed + pendingBytes + (pendingTrailers?.length ?? 0) + (peer?.heldEnd?.text.length ?? 0);
      bytes += exchange === null ? requestBytes : keptBytes(exchange) + takenBytes(exchange);
    }
    return bytes;
  }

  /** Frames and field blocks whose end has not come. */
  get #begunBytes(): number {
    return this.session.reader.heldBytes + this.session.block.bytes.length;
  }

  get door(): Door {
    return this.peer.door;
  }

  // The socket.

  receive(bytes: Buffer, start: number, end: number): void {
    readClock();
    this.session.receive(bytes, start, end, clock.nowMs);
    if (this.#begunBytes > 0) this.engine.pressure.putBy(end - start);
    const { streamId } = this.session.block;
    if (streamId !== this.#blockOf) {
      this.#blockOf = streamId;
      this.#blockByMs = streamId === 0 ? never : clock.nowMs + this.door.limits.headMs;
      this.expectBy(this.#blockByMs);
    }
    if (this.session.output.length > mostUnsentBytes && this.#isWriting && !this.#isPaused) {
      this.#isPaused = true;
      this.#link.pause();
    }
  }

  /** The client sent FIN. */
  ended(): void {
    readClock();
    this.#isClosing = true;
    for (const stream of this.session.streams.values()) stream.peer?.ended();
    this.#closeBy(clock.nowMs + this.engine.limits.halfCloseMs);
    this.#awaitTurnEnd();
  }

  /** The write is finished. */
  emptied(): void {
    this.#isWriting = false;
    this.#writeByMs = never;
    if (this.#isClosed) return;
    readClock();
    this.#flush();
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#link.resume();
  }

  closed(): void {
    readClock();
    if (this.#isClosed) return;
    this.#isClosed = this.#isClosing = true;
    this.session.close(errorCodes.cancel);
    this.session.output.release();
    // The handle has us until the end of the turn.
    this.session.reader.release();
    this.session.block.close();
    this.engine.connectionClosed(this);
  }

  /** Lets what is open finish, and takes nothing new. */
  drain(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.session.shutDown();
    this.#heardByMs = clock.nowMs + this.engine.limits.lingerMs;
    this.expectBy(this.#heardByMs);
  }

  leaveAt(atMs: number): void {
    this.leavesAtMs = atMs;
    for (const { peer } of this.session.streams.values()) peer?.leaveAt(atMs);
  }

  destroy(): void {
    this.#isClosing = true;
    if (endStreams(this.engine, this.session)) this.#flush();
    else this.#link.destroy();
    if (!this.#isWriting) this.#link.close();
  }

  shed(): number {
    let lateBytes = lateBytesOf(this.#link);
    for (const { peer } of this.session.streams.values()) {
      if (!peer?.exchange) continue;
      peer.exchange.flag = 'OM';
      lateBytes += peer.exchange.upstream?.roomBytes ?? 0;
    }
    this.#link.counter?.shed();
    this.#link.destroy();
    this.closed();
    return lateBytes;
  }

  #awaitTurnEnd(): void {
    if (this.#isTurnDue) return;
    this.#isTurnDue = true;
    atTurnEnd(this);
  }

  turnEnded(): void {
    this.#isTurnDue = false;
    if (this.#isClosed) return;
    readClock();
    if (this.#sawReset && this.#starting.length > 0) {
      // Who takes requests back may be about to take back these, too: that is then in what comes next.
      this.#sawReset = false;
      this.#awaitTurnEnd();
    } else {
      this.#start();
    }
    this.#flush();
  }

  #start(): void {
    const starting = this.#starting;
    for (let i = 0; i < starting.length; i++) (starting[i] as H2Stream).start();
    starting.length = 0;
    this.#sawReset = false;
  }

  #flush(): void {
    if (this.#isWriting || this.#isClosed || this.#link.isDestroyed) return;
    const { session } = this;
    const { output } = session;
    const link = this.#link;
    while (!link.isDestroyed) {
      session.pump();
      if (output.length === 0) break;
      link.write(output.view());
      if (link.unsentBytes === 0 || link.copies) output.release();
      else output.lend();
      if (link.unsentBytes === 0) continue;
      this.#isWriting = true;
      this.#writeByMs = clock.nowMs + this.engine.limits.writeIdleMs;
      this.expectBy(this.#writeByMs);
      return;
    }
    if (session.streams.size === 0 && (this.#isClosing || session.isDrained)) this.#end();
  }

  /** Everything is said: FIN, and what still comes is thrown away for a while, or a reset could overtake the last words. */
  #end(): void {
    if (this.#link.isEnding) return;
    this.#isClosing = this.session.isOver = true;
    this.#link.end();
    this.#closeBy(clock.nowMs + this.engine.limits.lingerMs);
  }

  // The session.

  headers(stream: Stream<H2Stream>, section: FieldSection, isEnd: boolean): void {
    const { engine } = this;
    const own = takeH2Stream();
    const exchange = takeExchange();
    stream.peer = own;
    own.begin(this, stream, exchange);
    // One turn may bring tens of thousands.
    engine.pressure.putBy(requestBytes + section.head.text.length);
    exchange.line.method = section.method;
    exchange.line.version = 20;
    exchange.head = section.swapHead(exchange.head);
    exchange.begin(own, clock.nowMs);
    engine.observer.requestStarted();
    this.requestsInFlight++;
    this.#requestByMs = never;
    const refused = interpretStream(exchange, section, isEnd, engine.limits);
    if (refused !== null) own.refuseAtStart(refused);
    this.#starting.push(own);
    this.#awaitTurnEnd();
    if (++this.requests === this.lastRequest) this.drain();
  }

  data(stream: Stream<H2Stream>, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    stream.peer?.receive(bytes, start, end, isEnd, bytes !== sharedClientBuffer);
  }

  trailers(stream: Stream<H2Stream>, section: FieldSection): void {
    this.engine.pressure.putBy(section.head.text.length);
    stream.peer?.receiveTrailers(section);
  }

  malformed(): void {
    this.requestsInFlight++;
    tellMalformed(this);
  }

  reset(stream: Stream<H2Stream>, code: number): void {
    this.#sawReset = true;
    // A connection that is gone is cancelled; with any other code we have ended it, for what the client did.
    if (this.session.isOver && code !== errorCodes.cancel) wasBroken(stream.peer);
    else stream.peer?.wasReset();
    this.streamEnded();
  }

  broken(stream: Stream<H2Stream>): void {
    wasBroken(stream.peer);
    this.streamEnded();
  }

  sent(stream: Stream<H2Stream>): void {
    stream.peer?.sent();
  }

  finished(stream: Stream<H2Stream>): void {
    stream.peer?.finished();
    this.streamEnded();
  }

  drained(stream: Stream<H2Stream>): void {
    stream.peer?.drained();
  }

  goingAway(): void {}

  settled(): void {
    if (this.#settleByMs === never) return;
    this.#settleByMs = never;
    this.#requestBy(clock.nowMs + this.door.limits.headMs);
  }

  failed(): void {
    this.#link.counter?.offended();
    this.#isClosing = true;
    this.#settleByMs = this.#requestByMs = this.#blockByMs = never;
  }

  wake(): void {
    this.#awaitTurnEnd();
  }

  overflow(): void {
    this.#flush();
  }

  // Its streams.

  exchangeEnded(): void {
    this.requestsInFlight--;
    this.streamEnded();
  }

  streamEnded(): void {
    if (this.session.streams.size > 0 || this.#isClosed) return;
    this.idleSinceMs = clock.nowMs;
    if (this.#isClosing || this.session.isDrained) this.#awaitTurnEnd();
    else if (!this.#isLeaving && this.#requestByMs === never) this.#requestBy(clock.nowMs + this.door.limits.idleMs);
  }

  // Deadlines. `expiresAtMs` is not later than the first of them; it is set anew when it has passed.

  expectBy(deadlineMs: number): void {
    if (deadlineMs < this.expiresAtMs) this.expiresAtMs = deadlineMs;
  }

  #requestBy(deadlineMs: number): void {
    this.#requestByMs = deadlineMs;
    this.expectBy(deadlineMs);
  }

  #closeBy(deadlineMs: number): void {
    this.#closeByMs = deadlineMs;
    this.expectBy(deadlineMs);
  }

  expired(nowMs: number): void {
    if (nowMs >= this.#writeByMs) {
      for (const { peer } of this.session.streams.values()) {
        if (peer?.exchange?.isResponseStarted) peer.exchange.flag = 'DWT';
      }
      this.#link.destroy();
      return;
    }
    if (nowMs >= this.#closeByMs) {
      this.#link.destroy();
      return;
    }
    if (nowMs >= this.#heardByMs) {
      // Whoever leaves our PING unanswered, and always has a stream open, would stay for as long as he likes.
      this.#heardByMs = never;
      this.session.goAway();
    } else if (nowMs >= this.#settleByMs) this.session.fail(errorCodes.settingsTimeout);
    else if (nowMs >= this.#blockByMs) this.session.fail(errorCodes.enhanceYourCalm);
    else if (nowMs >= this.#requestByMs) {
      this.#requestByMs = never;
      this.drain();
    }
    let first = Math.min(this.#closeByMs, this.#writeByMs, this.#heardByMs, this.#settleByMs);
    first = Math.min(first, this.#blockByMs, this.#requestByMs);
    this.expiresAtMs = never;
    for (const { peer } of this.session.streams.values()) {
      if (peer === null) continue;
      if (peer.expiresAtMs <= nowMs) peer.expired(nowMs);
      first = Math.min(first, peer.expiresAtMs);
    }
    this.expectBy(first);
  }
}
