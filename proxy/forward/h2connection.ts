import type { Link } from '../carry/link.ts';
import { errorCodes, mostFrameBytes } from '../frame/codes.ts';
import type { SessionOwner } from '../frame/owner.ts';
import type { FieldSection } from '../frame/section.ts';
import { Session } from '../frame/session.ts';
import { assumedStreams } from '../frame/settings.ts';
import type { Stream } from '../frame/stream.ts';
import { clock, readClock } from '../listen/clock.ts';
import type { Expiring } from '../listen/sweep.ts';
import { atTurnEnd, type Gathering } from '../listen/turn.ts';
import { upstreamConnected } from './attempt.ts';
import { type Dialled, lossOf, tlsFaultOf } from './dial.ts';
import type { Engine } from './engine.ts';
import { type Failure, failures } from './failures.ts';
import type { H2Pool } from './h2pool.ts';
import { type H2Stream, takeH2Stream } from './h2stream.ts';
import type { Keeping } from './keeping.ts';
import { sharedUpstreamBuffer } from './relay.ts';
import { waitOver } from './tryclock.ts';

/** Of one connection, whatever the backend allows. */
const mostStreams = 1_024;
/**
 * Streams that we reset, of early answers and of clients that gave up: servers against rapid resets (CVE-2023-44487) end the
 * connection for all who are on it, Netty with the 201st within half a minute, Envoy after 250 that had no answer yet, nghttp2 after a
 * thousand. Half of the fewest, because what is in progress then may be reset, too: that is mostly a hundred.
 */
const mostResets = 100;
/** A backend that has accepted a connection, and does not say a word, is waited for no longer, ms; whatever its route allows. */
const mostGreetingMs = 60_000;
/** The unread bytes of so many fit into the connection's window together: none of them ever holds up another. */
const windows = {
  streamWindowBytes: 65_535,
  mostStreamWindowBytes: 262_144,
  connectionWindowBytes: mostStreams * 262_144,
} as const;

/** One HTTP/2 connection to an endpoint (RFC 9113); carries many requests at once. */
export class H2Connection implements SessionOwner<H2Stream>, Dialled, Expiring, Gathering {
  expiresAtMs: number;
  sweepIndex = -1;
  readonly pool: H2Pool;
  readonly scheme: 'http' | 'https';
  readonly session: Session<H2Stream>;
  readonly chunk = null;
  /** Requests can go: the backend has sent its SETTINGS. */
  isConnected = false;
  /** Takes no more requests; ends with its last one. */
  isRetired = false;
  /** How many streams we have reset. */
  resets = 0;
  // Set right after construction: reads can start only in a later turn of the loop.
  link!: Link;
  readonly #engine: Engine;
  readonly #keeping: Keeping;
  #requests = 0;
  /** Streams that it takes at once by what was refused last: one more with each that ends well. */
  #borneStreams = Number.POSITIVE_INFINITY;
  /** A stream has ended well. */
  #hasServed = false;
  /** Tries that wait for the connection. */
  #waiting: H2Stream[] = [];
  /** Tries whose response head has come in this read, and perhaps no body. */
  readonly #headed: H2Stream[] = [];
  #isLent = false;
  /** Bytes can go. */
  #isLinked = false;
  #isClosed = false;
  #heardAtMs = 0;
  /** Since when somebody waits for an answer, and nothing at all has been heard; Infinity: nobody does. */
  #silentSinceMs = Number.POSITIVE_INFINITY;
  readonly #connectMs: number;
  /** How the streams ended that end with the connection: it was no HTTP/2, or has broken it, unless #close says otherwise. */
  #failure: Failure = failures.notHttp2;

  constructor(engine: Engine, pool: H2Pool, isTls: boolean, keeping: Keeping, nowMs: number, connectMs: number) {
    const { limits } = engine;
    const section = { listBytes: limits.responseHeadBytes, fields: limits.responseHeadFields };
    this.#engine = engine;
    this.pool = pool;
    this.scheme = isTls ? 'https' : 'http';
    this.expiresAtMs = waitOver(nowMs, connectMs);
    this.#keeping = keeping;
    this.#connectMs = connectMs;
    this.session = new Session('client', this, { streams: 0, section, ...windows }, nowMs);
    // Its SETTINGS may come after many requests have gone: what it will refuse then would cost each of them a try.
    const { peer } = this.session;
    peer.maxConcurrentStreams = Math.max(1, pool.streams ?? peer.maxConcurrentStreams);
  }

  /** Another request can go this way. */
  hasRoom(nowMs: number): boolean {
    if (this.isRetired || this.#isClosed) return false;
    const isWorn = this.#requests >= this.#keeping.requests || this.resets >= mostResets;
    const isOver = isWorn || nowMs >= this.#keeping.retireAtMs;
    if (isOver || (this.#isShut && this.session.streams.size === 0)) {
      this.retire();
      return false;
    }
    if (this.isConnected)
      return this.session.hasRoom && this.session.streams.size < Math.min(mostStreams, this.#borneStreams);
    return this.#waiting.length < Math.min(this.session.peer.maxConcurrentStreams, mostStreams);
  }

  /**
   * No byte of any upload can go. Between requests no window should be so for long; it stays so where a backend never gives back
   * what was on its way for a stream that was reset (Undertow), against RFC 9113 §6.9.
   */
  get #isShut(): boolean {
    return this.isConnected && this.session.sender.window <= 0;
  }

  /**
   * `narrow`: not even a frame of an upload can go. All share the window, and who does not read an upload of a megabyte has the whole
   * of Go's or hyper's: others would wait for as long as that takes. What comes with the backend's SETTINGS is mostly a larger one.
   */
  get state(): 'opening' | 'open' | 'narrow' {
    if (!this.isConnected) return 'opening';
    return this.session.isSettled && this.session.sender.window < mostFrameBytes ? 'narrow' : 'open';
  }

  get streamCount(): number {
    return this.session.streams.size + this.#waiting.length;
  }

  take(): H2Stream {
    this.#requests++;
    const stream = takeH2Stream();
    stream.begin(this.#engine, this);
    if (this.isConnected) this.expiresAtMs = Number.POSITIVE_INFINITY;
    else this.#waiting.push(stream);
    this.#engine.pools.streams.add(stream);
    return stream;
  }

  /** No more requests; those in progress go on. */
  retire(): void {
    if (this.isRetired) return;
    this.isRetired = true;
    this.pool.forget(this);
    this.#restIfIdle();
  }

  /** A stream had no byte for its time. Where nobody has heard anything since, or can upload, the connection is not trusted any more. */
  wasSilent(sinceMs: number): void {
    if (this.#heardAtMs < sinceMs || this.#isShut) this.retire();
  }

  /**
   * A try is given up before its time. Clients and deadlines that are less patient than ours must not keep a connection in use
   * that is dead without a word: when it has been silent for as long as a new one may take, a new one is taken.
   */
  wasLeft(nowMs: number): void {
    if (nowMs >= waitOver(this.#silentSinceMs, this.#connectMs)) this.retire();
  }

  /** A request goes out. */
  asked(nowMs: number): void {
    if (this.#silentSinceMs === Number.POSITIVE_INFINITY) this.#silentSinceMs = nowMs;
  }

  /** A try is over. @returns false when it was before */
  streamOver(stream: H2Stream): boolean {
    if (stream.sweepIndex === -1) return false;
    this.#engine.pools.streams.remove(stream);
    if (!this.isConnected) this.#waiting = this.#waiting.filter((other) => other !== stream);
    this.#restIfIdle();
    this.pool.circuit?.roomCame(this.pool.endpointKey);
    return true;
  }

  #restIfIdle(): void {
    if (this.#isClosed || !this.isConnected || this.streamCount > 0) return;
    // The next request opens another where no stream is allowed: each of these would stay for as long as one is kept.
    const isUseless = this.session.peer.maxConcurrentStreams === 0 && this.pool.circuit === null;
    const isSpare = this.pool.hasMoreIdleThan(this.#keeping.connections);
    if (this.isRetired || this.pool.isGone || isUseless || isSpare) this.#close(failures.reset);
    else this.expiresAtMs = Math.min(clock.nowMs + this.#keeping.idleMs, this.#keeping.retireAtMs);
  }

  // What the link tells.

  connected(): void {
    readClock();
    if (this.#isClosed) return;
    // With TLS a backend chooses h2 or nothing, for nothing else was offered; one that chose nothing is taken at its word.
    this.#isLinked = true;
    this.expiresAtMs = Math.min(this.expiresAtMs, clock.nowMs + mostGreetingMs);
    this.turnEnded();
  }

  /**
   * The backend is there, and has said how many streams it takes. The kernel of a machine accepts connections for a process that
   * hangs, and for one that is about to go, which then resets them: no request may have been written by then, for nobody could tell
   * whether it had run. Clients of gRPC wait for it, too.
   */
  #greeted(): void {
    this.isConnected = true;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    const waiting = this.#waiting;
    this.#waiting = [];
    const tooMany: H2Stream[] = [];
    for (const stream of waiting) {
      if (!this.session.hasRoom) tooMany.push(stream);
      else if (stream.exchange !== null) upstreamConnected(stream.exchange);
    }
    for (const stream of tooMany) stream.fail(failures.crowded);
    this.#restIfIdle();
  }

  receive(buffer: Buffer, start: number, end: number): void {
    readClock();
    this.#heardAtMs = clock.nowMs;
    this.#silentSinceMs = Number.POSITIVE_INFINITY;
    this.#isLent = buffer !== sharedUpstreamBuffer;
    this.session.receive(buffer, start, end, clock.nowMs);
    const headed = this.#headed;
    if (headed.length === 0) return;
    for (const { exchange } of headed) exchange?.client?.flush(exchange);
    headed.length = 0;
  }

  emptied(): void {
    readClock();
    this.turnEnded();
  }

  ended(): void {
    readClock();
    this.#lost();
  }

  closed(): void {
    readClock();
    this.#lost();
    this.#engine.pools.sweep.remove(this);
  }

  #lost(): void {
    if (this.#isClosed) return;
    const fault = tlsFaultOf(this.link);
    for (const { exchange } of this.#waiting) if (exchange !== null && fault !== '') exchange.upstreamFault = fault;
    this.#close(lossOf(this.link, fault, !this.isConnected));
  }

  expired(): void {
    if (this.#isClosed) this.link.destroy();
    else if (this.isConnected) this.retire();
    else this.#close(failures.connectTimeout);
  }

  // What the session tells.

  wake(): void {
    atTurnEnd(this);
  }

  overflow(): void {
    this.#write();
  }

  turnEnded(): void {
    if (!this.#isLinked || this.#isClosed) return;
    do {
      this.session.pump();
    } while (this.#write() && this.session.output.length > 0);
  }

  /** @returns whether something was written, and more can be */
  #write(): boolean {
    const { output } = this.session;
    const { link } = this;
    if (output.length === 0 || !this.#isLinked || link.isFull) return false;
    link.write(output.view());
    if (link.unsentBytes === 0) output.release();
    else output.lend();
    return !link.isFull;
  }

  /** The backend may take more streams than were thought, or than it took until now (RFC 9113 §6.5). */
  settled(): void {
    const { peer } = this.session;
    // What a connection before was told may have been the word of another server at this address, or of one that was going.
    if (!peer.hasSaidStreams) peer.maxConcurrentStreams = assumedStreams;
    this.pool.streams = peer.maxConcurrentStreams;
    this.#failure = failures.ruleBroken;
    if (!this.isConnected) this.#greeted();
    this.pool.circuit?.roomGrew();
  }

  headers(stream: Stream<H2Stream>, section: FieldSection, isEnd: boolean): void {
    const { peer } = stream;
    if (peer?.receiveHead(section, isEnd)) this.#headed.push(peer);
  }

  data(stream: Stream<H2Stream>, bytes: Buffer, start: number, end: number, isEnd: boolean): void {
    stream.peer?.receiveData(bytes, start, end, isEnd, this.#isLent);
  }

  trailers(stream: Stream<H2Stream>, { head }: FieldSection): void {
    stream.peer?.receiveTrailers(head);
  }

  finished(stream: Stream<H2Stream>): void {
    this.#hasServed = true;
    this.#borneStreams++;
    stream.peer?.streamOver();
  }

  reset(stream: Stream<H2Stream>, code: number): void {
    if (code === errorCodes.refusedStream) this.#refused();
    stream.peer?.lost(this.session.isOver ? this.#failure : failureOf(code));
  }

  /**
   * Some refuse less than they have said that they take: gRPC's C core counts a stream for a while after it has answered it. Another
   * try is not to meet with the same. A backend that refuses whatever comes is no reason for a connection with each.
   */
  #refused(): void {
    if (this.#hasServed) this.#borneStreams = Math.max(1, this.session.streams.size);
  }

  broken(stream: Stream<H2Stream>): void {
    stream.peer?.lost(failures.malformed);
  }

  /** Nobody asks a client for anything. */
  malformed(): void {}

  sent(): void {}

  drained(stream: Stream<H2Stream>): void {
    stream.peer?.drained();
  }

  goingAway(lastStreamId: number): void {
    this.retire();
    for (const stream of [...this.session.streams.values()]) {
      // The backend has not acted on these: they may go elsewhere, whatever their method (RFC 9113 §6.8).
      if (stream.id > lastStreamId) stream.peer?.fail(failures.leftBehind);
    }
    // Who waits for a stream of this connection may have one of the next: it is open for as long as its last answer takes.
    this.pool.circuit?.roomGrew();
  }

  failed(): void {
    this.#close(this.#failure);
  }

  #close(failure: Failure): void {
    if (this.#isClosed) return;
    this.#failure = failure;
    if (this.#isLinked && !this.session.isOver) this.session.sender.goAway(0, errorCodes.noError, '');
    this.turnEnded();
    // The last that it waited for may have gone out just now: then it is closed already.
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.isRetired = true;
    this.pool.forget(this);
    const { circuit, endpointKey } = this.pool;
    if (circuit !== null) {
      circuit.connections--;
      circuit.roomCame(endpointKey);
    }
    this.session.close(errorCodes.cancel);
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const stream of waiting) stream.fail(failure);
    this.session.output.release();
    this.link.close();
    // What waits goes out before, but a backend that takes nothing would be waited for for good.
    this.expiresAtMs = clock.nowMs + this.#engine.limits.lingerMs;
  }
}

function failureOf(code: number): Failure {
  if (code === errorCodes.refusedStream) return failures.unprocessed;
  return code === errorCodes.protocolError ? failures.disliked : failures.streamReset;
}
