import { errorCodes } from '../frame/codes.ts';
import type { FieldSection } from '../frame/section.ts';
import type { Stream } from '../frame/stream.ts';
import { clock } from '../listen/clock.ts';
import { isGrpc } from '../listen/grpc.ts';
import type { Expiring } from '../listen/sweep.ts';
import { bodyChunked, bodyLength, bodyNone } from '../parse/framing.ts';
import { type Head, noTrailers } from '../parse/head.ts';
import { nameIds } from '../parse/names.ts';
import { ResponseLine } from '../parse/responsehead.ts';
import { requestTrailerLines } from '../parse/trailers.ts';
import { attemptFailed } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { type Failure, failures } from './failures.ts';
import type { H2Connection } from './h2connection.ts';
import { askOn, passInterim } from './interims.ts';
import { isReplyFull, replyBody, replyEnd, replyHead, replyLast } from './reply.ts';
import { buildRequestFields, requestPseudos } from './requesthead.ts';
import type { UpstreamSide } from './sides.ts';
import { TryClock } from './tryclock.ts';

/** One stream of an HTTP/2 connection to an endpoint, for one try. Used again for another. */
export class H2Stream implements UpstreamSide, Expiring {
  expiresAtMs = Number.POSITIVE_INFINITY;
  sweepIndex = -1;
  exchange: Exchange | null = null;
  readonly chunk = null;
  readonly roomBytes = 0;
  readonly heldBytes = 0;
  isReused = false;
  hasAnswered = false;
  /** The final response head has come; an interim one says nothing of the request. */
  #hasHead = false;
  /** The head is larger than the backend takes, or the trailers are: nothing of them is sent, and the request never ends there. */
  #isTooLarge = false;
  readonly line = new ResponseLine();
  #engine!: Engine;
  #connection = nowhere;
  /** null: not opened yet, or over. */
  #stream: Stream<H2Stream> | null = null;
  readonly #clock = new TryClock();
  /** Bytes that waited for the backend when its wait began. */
  #pendingAtStart = 0;

  /** The object is for a new try. */
  begin(engine: Engine, connection: H2Connection): void {
    this.#engine = engine;
    this.#connection = connection;
    this.#stream = null;
    this.hasAnswered = this.#hasHead = this.#isTooLarge = false;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
  }

  get isConnected(): boolean {
    return this.#connection.isConnected;
  }

  get hasEnded(): boolean {
    return this.#stream?.isRemoteClosed !== false;
  }

  get isFull(): boolean {
    return this.#stream?.isFull === true;
  }

  get #pendingBytes(): number {
    return this.#stream?.pendingBytes ?? 0;
  }

  /** A session copies what it cannot send. */
  get holdsLent(): boolean {
    return false;
  }

  assign(exchange: Exchange, nowMs: number): void {
    const { timeouts } = exchange.route as NonNullable<Exchange['route']>;
    this.exchange = exchange;
    this.#clock.begin(timeouts, exchange.isRequestComplete, nowMs);
    this.isReused = this.isConnected;
    if (this.isConnected) this.#restartClock(nowMs);
    else this.expiresAtMs = this.#clock.connectDue(nowMs, timeouts.connectMs);
  }

  flush(): void {
    const exchange = this.exchange as Exchange;
    const isEnd = exchange.bodyKind === bodyNone;
    // A call without a message ends by a frame of DATA all the same (gRPC over HTTP2, "Requests"): where its head is the end, servers of
    // gRPC's Go library never hear of it, and wait.
    const endsByData = isEnd && isGrpc(exchange);
    this.#open(exchange, isEnd && !endsByData);
    if (endsByData) this.end();
    // A stream has a window and can be reset, so most servers of HTTP/2 answer no expectation (nginx, hyper, Hypercorn, and any behind
    // HAProxy): a client that waits for the word would wait for good, and the backend is not asked.
    if (exchange.expectsContinue && !this.#isTooLarge) askOn(exchange, this.line);
    this.#restartClock(clock.nowMs);
  }

  #open(exchange: Exchange, isEnd: boolean): void {
    exchange.isHeadPending = false;
    const { session, scheme } = this.#connection;
    const pseudos = requestPseudos(exchange, scheme);
    const lines = buildRequestFields(exchange);
    if (this.#isTooMuch(pseudos, lines)) return;
    this.#connection.asked(clock.nowMs);
    const stream = session.open(this);
    stream.isBodiless = exchange.method === 'HEAD';
    this.#stream = stream;
    session.request(stream, pseudos, lines, isEnd);
  }

  /** Whether the backend has said that it does not take so much. */
  #isTooMuch(pseudos: readonly string[], lines: string): boolean {
    const most = this.#connection.session.peer.maxHeaderListSize;
    if (most === Number.POSITIVE_INFINITY || listBytesOf(pseudos, lines) <= most) return false;
    // Those who wait for this call to end still hold the exchange: it fails with the next look at deadlines.
    this.#isTooLarge = true;
    this.expiresAtMs = clock.nowMs;
    return true;
  }

  /** Not copied by the session alone where it can be sent at once: the range is the caller's again. */
  writeBody(exchange: Exchange, buffer: Buffer, start: number, end: number, trailers: Head | null): void {
    if (exchange.isHeadPending) this.#open(exchange, false);
    const stream = this.#stream;
    if (stream === null) return;
    const { session } = this.#connection;
    const lines = trailers === null ? '' : requestTrailerLines(trailers);
    if (lines !== '' && this.#isTooMuch([], lines)) return;
    const isEnd = trailers !== null && lines === '';
    if (end > start || isEnd) session.data(stream, buffer, start, end, isEnd);
    if (lines !== '' && this.#stream !== null) session.trailers(stream, lines);
    this.#restartClock(clock.nowMs);
  }

  end(): void {
    if (this.#stream !== null) this.#connection.session.data(this.#stream, nothing, 0, 0, true);
  }

  pause(): void {
    this.#clock.isPaused = true;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
  }

  resume(): void {
    if (!this.#clock.isPaused) return;
    this.#clock.isPaused = false;
    this.#restartClock(clock.nowMs);
    const stream = this.#stream;
    // The peer may send again what is read now.
    if (stream !== null && stream.unconsumed > 0) this.#connection.session.consumed(stream, stream.unconsumed);
  }

  endSoon(): void {
    this.destroy();
  }

  destroy(): void {
    this.exchange = null;
    if (this.#drop(errorCodes.cancel)) this.#giveBack();
  }

  /** RST_STREAM tells the backend to stop, and is the end as far as anyone can see. */
  abandon(): void {
    this.#connection.wasLeft(clock.nowMs);
    this.destroy();
  }

  /** Ends the stream, if it is open. @returns whether the object is to be given back */
  #drop(code: number): boolean {
    const stream = this.#stream;
    this.#stream = null;
    if (stream !== null) {
      if (!stream.isEnded) this.#connection.resets++;
      this.#connection.session.reset(stream, code);
    }
    return this.#connection.streamOver(this);
  }

  // What the connection tells.

  /** A response head, interim or final. @returns whether the body may still come, and the head must not wait for it */
  receiveHead(section: FieldSection, isEnd: boolean): boolean {
    const exchange = this.exchange;
    if (exchange === null) return false;
    this.hasAnswered = true;
    const { line } = this;
    const { head } = section;
    if (section.isTooLarge) {
      this.fail(failures.malformed);
      return false;
    }
    this.#read(exchange, section, isEnd);
    if (line.status < 200) {
      if (passInterim(exchange, line, head)) this.#restartClock(clock.nowMs);
      else this.fail(failures.malformed);
      return false;
    }
    this.#hasHead = true;
    this.#clock.headCame();
    if (!replyHead(this.#engine, exchange, line, head)) return false;
    this.#restartClock(clock.nowMs);
    if (!isEnd && !this.#isWhole(exchange)) return true;
    replyLast(exchange);
    this.#finished(exchange);
    return false;
  }

  #read(exchange: Exchange, { status, contentLength, head }: FieldSection, isEnd: boolean): void {
    const { line } = this;
    line.status = status;
    line.minor = 1;
    // There is no status line to take over.
    line.lineEnd = 0;
    line.contentLength = contentLength;
    line.hasDate = head.find(nameIds.date) !== -1;
    line.nominated = null;
    const isBodiless = isEnd || exchange.method === 'HEAD' || status === 204 || status === 304;
    line.bodyKind = isBodiless ? bodyNone : contentLength === -1 ? bodyChunked : bodyLength;
  }

  receiveData(buffer: Buffer, start: number, end: number, isEnd: boolean, isLent: boolean): void {
    const exchange = this.exchange;
    if (exchange === null) return;
    this.#restartClock(clock.nowMs);
    const isLast = isEnd || this.#isWhole(exchange);
    replyBody(exchange, buffer, start, end, isLast ? noTrailers : null, isLent);
    if (isLast) this.#finished(exchange);
    else this.#throttle(exchange, end - start);
  }

  /**
   * Whether the client has all of the answer, though the backend has not ended its stream: a handler in Go that has written what its
   * Content-Length says may work on for long. Where the length is the end, the client goes on with its next request, which must
   * neither wait for that stream nor end with it. To a client of HTTP/2 trailers may follow, unless a compressor has the body: that loses
   * them anyway, and keeps most of what it has to itself until the end.
   */
  #isWhole(exchange: Exchange): boolean {
    if (!exchange.isRequestComplete) return false;
    const { bodyKind } = this.line;
    if (bodyKind !== bodyLength) return bodyKind === bodyNone;
    return (exchange.line.version !== 20 || exchange.encoder !== null) && this.#stream?.expected === 0;
  }

  /** The window opens by what was passed on; while the client does not take it, it stays as it is and the backend stops. */
  #throttle(exchange: Exchange, bytes: number): void {
    if (isReplyFull(exchange)) {
      this.pause();
      this.#engine.pressure.putBy(bytes);
    } else if (this.#stream !== null && !this.#clock.isPaused) this.#connection.session.consumed(this.#stream, bytes);
  }

  receiveTrailers(trailers: Head): void {
    const exchange = this.exchange;
    if (exchange === null) return;
    replyBody(exchange, nothing, 0, 0, trailers, true);
    this.#finished(exchange);
  }

  /** The response is complete. */
  #finished(exchange: Exchange): void {
    this.exchange = null;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    // The rest of the upload is of no interest to either side (RFC 9113 §8.1).
    if (!exchange.isRequestComplete || this.#isTooLarge) {
      if (this.#drop(errorCodes.noError)) this.#giveBack();
    } else if (this.isFull || !this.hasEnded) this.#awaitEnd();
    replyEnd(this.#engine, exchange);
  }

  /**
   * The whole request is here, and the backend, which has answered, may still want it, or be at work: not for ever, or the stream is
   * lost.
   */
  #awaitEnd(): void {
    this.#clock.isPaused = false;
    this.#restartClock(clock.nowMs);
  }

  /** Both sides of the stream are closed, or it was reset: the session has it again. */
  streamOver(): void {
    this.#stream = null;
    if (this.#connection.streamOver(this)) this.#giveBack();
  }

  /** What waited for the backend is on its way. */
  drained(): void {
    this.#restartClock(clock.nowMs);
    this.exchange?.client?.resume();
  }

  /** The stream ended before its answer did. The session has it again. */
  lost(failure: Failure): void {
    this.#stream = null;
    // A server of gRPC ends a call when the time that its client gives it is over: no failure of the backend, and nothing that a
    // client should try again, though the word of it comes before our own look at the clock.
    const isLate = this.exchange !== null && clock.nowMs >= this.exchange.requestDeadlineMs;
    this.fail(isLate ? failures.requestTimeout : failure);
  }

  fail(failure: Failure): void {
    const exchange = this.exchange;
    this.exchange = null;
    const wasOpen = this.#drop(errorCodes.cancel);
    if (exchange !== null) attemptFailed(this.#engine, exchange, this, failure);
    // Not before: how far the try has come is read here, and whoever waited for its room has begun one by now.
    if (wasOpen) this.#giveBack();
  }

  expired(nowMs: number): void {
    if (this.#isTooLarge) {
      this.fail(failures.headTooLong);
      return;
    }
    const failure = this.#clock.failure(this.isConnected, nowMs);
    // What waits is told to be gone when all of it is: a backend with a small window takes one piece in many.
    if (failure === failures.sendTimeout && this.#pendingBytes < this.#pendingAtStart) {
      this.#restartClock(nowMs);
      return;
    }
    this.#connection.wasSilent(this.#clock.sinceMs);
    this.fail(failure);
  }

  /** Nothing holds it any more: it is used for another try. */
  #giveBack(): void {
    this.#connection = nowhere;
    if (spares.length < mostSpares) spares.push(this);
  }

  #restartClock(nowMs: number): void {
    const isUploading = !this.#hasHead && this.exchange?.isRequestComplete === false;
    this.#clock.isSending = this.isFull;
    this.#pendingAtStart = this.#pendingBytes;
    this.expiresAtMs = this.#isTooLarge ? nowMs : this.#clock.next(!isUploading, nowMs);
  }
}

/** As RFC 9113 §6.5.2 counts it. */
function listBytesOf(pseudos: readonly string[], lines: string): number {
  let bytes = lines.length;
  for (let at = lines.indexOf('\n'); at !== -1; at = lines.indexOf('\n', at + 1)) bytes += 28;
  for (const line of pseudos) bytes += line.length + 30;
  return bytes;
}

const nothing = Buffer.alloc(0);

/** Of a spare: its last connection may be gone, with all that it had. */
const nowhere = { isConnected: false, streamOver: () => false, wasLeft() {} } as unknown as H2Connection;
const spares: H2Stream[] = [];
const mostSpares = 1_024;

export function takeH2Stream(): H2Stream {
  return spares.pop() ?? new H2Stream();
}
