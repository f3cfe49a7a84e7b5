import { flushRequest, requestTimedOut } from '../forward/attempt.ts';
import type { Engine } from '../forward/engine.ts';
import { type Exchange, giveExchange } from '../forward/exchange.ts';
import { clientDrained } from '../forward/reply.ts';
import { requestBody, requestBroken } from '../forward/requestbody.ts';
import type { ClientSide, Peer } from '../forward/sides.ts';
import { tunnelClientEnded, tunnelFromClient } from '../forward/tunnel.ts';
import { errorCodes } from '../frame/codes.ts';
import { Pieces } from '../frame/pieces.ts';
import type { FieldSection } from '../frame/section.ts';
import type { Session } from '../frame/session.ts';
import type { Stream } from '../frame/stream.ts';
import { bodyChunked, bodyLength, bodyNone } from '../parse/framing.ts';
import { Head, noTrailers } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { replyTrailerLines } from '../parse/trailers.ts';
import { clientGone, refuse } from './answer.ts';
import { clock } from './clock.ts';
import { bodyDueMs } from './drip.ts';
import { isGrpc } from './grpc.ts';
import { type Refusal, refusals } from './refusals.ts';
import { buildInterimLines, buildReplyLines, buildSwitchLines } from './replyhead.ts';

/** What a stream needs of its connection. */
export interface StreamHome {
  readonly engine: Engine;
  readonly session: Session<H2Stream>;
  readonly peer: Peer;
  /** When WebSockets are to be told to go. */
  readonly leavesAtMs: number;
  /** A deadline of a stream: expired() is to be called then, not much later. */
  expectBy(deadlineMs: number): void;
  /** The exchange of a stream is over. */
  exchangeEnded(): void;
  /** A stream is over because we reset it. */
  streamEnded(): void;
  drain(): void;
}

/** One request and its answer on an HTTP/2 connection. Used again for another. */
export class H2Stream implements ClientSide {
  /** null: both ends are closed, or it was reset. */
  stream: Stream<H2Stream> | null = null;
  exchange: Exchange | null = null;
  expiresAtMs = Number.POSITIVE_INFINITY;
  #home = nowhere;
  /** The request has been handed to the engine. */
  #isStarted = false;
  #isPaused = false;
  #isTunnel = false;
  #wasGrpc = false;
  #refused: Refusal | null = null;
  /** Body bytes that came before the start or while paused; the peer's window holds them down. */
  readonly #held = new Pieces();
  /** The end of the body has come and is still to be passed on. */
  heldEnd: Head | null = null;
  /** Bytes that waited to be sent when the client was last looked at. */
  #pendingAtLook = 0;

  begin(home: StreamHome, stream: Stream<H2Stream> | null, exchange: Exchange): void {
    this.#home = home;
    this.stream = stream;
    this.exchange = exchange;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    this.#isStarted = this.#isPaused = this.#isTunnel = false;
    this.#refused = this.heldEnd = null;
  }

  get peer(): Peer {
    return this.#home.peer;
  }

  get isFull(): boolean {
    return this.stream?.isFull === true;
  }

  /** Frames are copies. */
  get holdsLent(): boolean {
    return false;
  }

  get hasEnded(): boolean {
    return this.stream === null || this.stream.isRemoteClosed;
  }

  refuseAtStart(refused: Refusal): void {
    this.#refused = refused;
  }

  /** The reads that brought the request are over, and it is still wanted. */
  start(): void {
    const exchange = this.exchange;
    if (exchange === null || this.#isStarted) return;
    this.#isStarted = true;
    const { engine } = this.#home;
    if (this.#refused !== null) {
      refuse(engine, exchange, this.#refused);
      return;
    }
    if (this.heldEnd === noTrailers && exchange.bodyKind === bodyChunked) this.#measure(exchange);
    // Answered on the spot, what is here of its body is skipped and need not be waited for.
    engine.run(exchange);
    if (this.exchange !== exchange) return;
    if (exchange.bodyKind !== bodyNone) this.#waitForBody();
    else this.#waitUntil(Number.POSITIVE_INFINITY);
    if (!this.#mustHold && (!this.#held.isEmpty || this.heldEnd !== null)) this.#feed();
    if (exchange.isHeadPending) flushRequest(exchange);
  }

  /** The whole body has come with the head: many backends are better at a length than at chunks. */
  #measure(exchange: Exchange): void {
    const { length } = this.#held;
    exchange.contentLength = length;
    exchange.bodyKind = length === 0 ? bodyNone : bodyLength;
    if (length > 0) return;
    exchange.isRequestComplete = true;
    this.heldEnd = null;
  }

  // What comes in.

  /** Body bytes; they are the caller's again when this returns, unless they are lent (relay.ts). */
  receive(bytes: Buffer, start: number, end: number, isEnd: boolean, isLent: boolean): void {
    if (isEnd) this.heldEnd = noTrailers;
    if (this.#mustHold && this.exchange !== null) {
      if (end === start) return;
      this.#held.add(bytes, start, end);
      this.#home.engine.pressure.putBy(end - start);
    } else {
      this.#pass(bytes, start, end, isLent);
    }
  }

  receiveTrailers(section: FieldSection): void {
    if (this.exchange === null) return;
    // Not kept for the next: few send any, and a spare would keep their text.
    this.heldEnd = section.swapHead(new Head());
    if (!this.#mustHold) this.#pass(nothing, 0, 0, true);
  }

  /** What a WebSocket client says before the backend has agreed is for the tunnel: it comes with the head, or later. */
  get #mustHold(): boolean {
    if (!this.#isStarted || this.#isPaused) return true;
    return this.exchange?.wantsWebSocket === true && !this.#isTunnel;
  }

  /** Passes what is held, as far as the backend takes it. */
  #feed(): void {
    do {
      const piece = this.#held.shift() ?? nothing;
      this.#pass(piece, 0, piece.length, true);
    } while (!this.#held.isEmpty && !this.#isPaused);
  }

  #pass(bytes: Buffer, start: number, end: number, isLent: boolean): void {
    const { exchange, stream } = this;
    const { engine, session } = this.#home;
    const trailers = this.#held.isEmpty ? this.heldEnd : null;
    if (trailers !== null) this.heldEnd = null;
    // What nobody wants is done with, too.
    if (stream !== null && end > start) session.consumed(stream, end - start);
    if (exchange === null) return;
    if (this.#isTunnel) {
      if (end > start) tunnelFromClient(exchange, bytes, start, end, isLent);
      if (trailers !== null && this.exchange === exchange) tunnelClientEnded(engine, exchange);
      return;
    }
    if (exchange.isRequestComplete) return;
    if (trailers !== null) {
      exchange.isRequestComplete = true;
      this.#waitForReader();
    } else if (isGrpc(exchange)) {
      this.#waitForBody();
    } else {
      this.#waitUntil(bodyDueMs(this.#home.peer.door.limits, this.expiresAtMs, end - start));
    }
    requestBody(engine, exchange, bytes, start, end, trailers, isLent);
  }

  /** The stream is over before its end, by the client or because it broke a rule (h2broken.ts). */
  wasReset(): void {
    this.stream = null;
    this.#drop();
    if (this.exchange !== null) clientGone(this.#home.engine, this.exchange);
    this.#letGo();
  }

  /** Both ends are closed. */
  finished(): void {
    this.stream = null;
    this.#letGo();
  }

  /**
   * The answer is written to its end, the request has not come to its own: the rest is thrown away. A reset at once (RFC 9113 §8.1)
   * takes the answer from curl 7.88, and from Java 17, which then waits for good; Go's client of gRPC opens another call in its place.
   */
  sent(): void {
    if (this.exchange === null && this.#wasGrpc) this.#giveUp(null);
    else if (this.exchange === null) this.#waitUntil(clock.nowMs + this.#home.engine.limits.lingerMs);
  }

  /** The client has taken what waited for it. */
  drained(): void {
    if (this.exchange?.isRequestComplete === false && !this.#isPaused) this.#waitForBody();
    else this.#waitForReader();
    if (this.exchange !== null) clientDrained(this.exchange);
  }

  /** The client sends no more at all. */
  ended(): void {
    const { exchange } = this;
    if (exchange === null || this.hasEnded) return;
    if (this.#isTunnel) clientGone(this.#home.engine, exchange);
    else if (!exchange.isRequestComplete) requestBroken(this.#home.engine, exchange, refusals.truncated);
  }

  // What goes out.

  writeInterim(exchange: Exchange, line: ResponseLine, head: Head): void {
    if (this.stream === null || (line.status === 100 && !exchange.expectsContinue)) return;
    const lines = buildInterimLines(line, head);
    exchange.bytesSent += lines.length;
    this.#home.session.respond(this.stream, line.status, lines, false);
  }

  writeHead(exchange: Exchange, line: ResponseLine, head: Head): void {
    const { stream } = this;
    if (stream === null) return;
    const lines = buildReplyLines(exchange, line, head, clock.nowMs, line.status === 204 || exchange.encoder !== null);
    exchange.bytesSent += lines.length;
    exchange.replyKind = line.bodyKind;
    this.#home.session.respond(stream, line.status, lines, line.bodyKind === bodyNone);
  }

  /** Frames wait in the connection's output anyway. */
  flush(): void {}

  writeBody(exchange: Exchange, buffer: Buffer, start: number, end: number, trailers: Head | null): void {
    const { stream } = this;
    if (stream === null) return;
    const { session } = this.#home;
    const lines = trailers === null || trailers.count === 0 ? '' : replyTrailerLines(trailers);
    exchange.bytesSent += end - start + lines.length;
    session.data(stream, buffer, start, end, trailers !== null && lines === '');
    if (lines !== '') session.trailers(stream, lines);
    if (this.isFull) this.#waitForReader();
    // A call that only its server has something to say in is not silent.
    else if (!exchange.isRequestComplete && !this.#isPaused && isGrpc(exchange)) this.#waitForBody();
  }

  writeAnswer(exchange: Exchange, status: number, lines: string, body: string): void {
    const { stream } = this;
    if (stream === null) return;
    const { session } = this.#home;
    // Refused for want of memory, a request leaves nothing here that waits for a window.
    const bytes = Buffer.from(exchange.flag === 'OM' && body.length > stream.sendWindow ? '' : body, 'utf8');
    const hasBody = exchange.method !== 'HEAD' && status !== 204 && status !== 304 && bytes.length > 0;
    const length = status === 204 ? '' : `Content-Length: ${bytes.length}\r\n`;
    session.respond(stream, status, lines + length, !hasBody);
    exchange.bytesSent += lines.length + (hasBody ? bytes.length : 0);
    if (hasBody) session.data(stream, bytes, 0, bytes.length, true);
  }

  startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void {
    const { stream } = this;
    if (stream === null) return;
    this.#isTunnel = true;
    exchange.requestDeadlineMs = this.#home.leavesAtMs;
    this.#waitUntil(Number.POSITIVE_INFINITY);
    let lines = buildSwitchLines(exchange, line, head);
    // If the key was ours, so is the proof that it was understood (upstream.ts).
    if (exchange.webSocketKey !== '') lines = lines.replace(/^sec-websocket-accept: .*\r\n/im, '');
    exchange.bytesSent += lines.length;
    this.#home.session.respond(stream, 200, lines, false);
    if (!this.#held.isEmpty || this.heldEnd !== null) this.#feed();
  }

  end(): void {
    if (this.stream !== null) this.#home.session.data(this.stream, nothing, 0, 0, true);
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#waitForReader();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.exchange?.isRequestComplete === false) this.#waitForBody();
    if (!this.#held.isEmpty || this.heldEnd !== null) this.#feed();
  }

  cutOff(trailers: string): void {
    const { stream, exchange } = this;
    // As a reset of TCP is told (RFC 8441 §5). A body of known length has no other end than that length.
    if (this.#isTunnel) this.#reset(errorCodes.cancel);
    else if (stream === null || trailers === '' || exchange?.replyKind !== bodyChunked)
      this.#reset(errorCodes.internalError);
    else this.#home.session.trailers(stream, trailers);
  }

  exchangeEnded(exchange: Exchange): void {
    const home = this.#home;
    this.exchange = null;
    this.#wasGrpc = isGrpc(exchange);
    this.#drop();
    if (this.#isTunnel && this.stream !== null) this.end();
    if (this.stream?.isLocalClosed) this.sent();
    else if (this.stream !== null) this.#waitForReader();
    giveExchange(exchange);
    home.exchangeEnded();
    this.#letGo();
  }

  /** Nothing holds it any more: it is used for another request. A tunnel's last frame may be its end, in the midst of exchangeEnded(). */
  #letGo(): void {
    if (this.stream !== null || this.exchange !== null || this.#home === nowhere) return;
    this.#home = nowhere;
    if (spares.length < 1_024) spares.push(this);
  }

  /** Held bytes will go nowhere. A client that has its answer may come to the end of its upload: they make room as if they were read. */
  #drop(): void {
    if (this.stream !== null && !this.#held.isEmpty) this.#home.session.consumed(this.stream, this.#held.length);
    this.#held.clear();
    this.heldEnd = null;
  }

  #reset(code: number): void {
    const { stream } = this;
    if (stream === null) return;
    this.stream = null;
    this.#home.session.reset(stream, code);
    this.#home.streamEnded();
  }

  // How long it may take.

  #waitUntil(deadlineMs: number): void {
    this.expiresAtMs = Math.min(deadlineMs, this.exchange?.requestDeadlineMs ?? Number.POSITIVE_INFINITY);
    this.#home.expectBy(this.expiresAtMs);
  }

  #waitForBody(): void {
    if (!this.#isTunnel) this.#waitUntil(clock.nowMs + this.#home.peer.door.limits.bodyIdleMs);
  }

  /** Nothing is awaited of the client but that it takes what was written. */
  #waitForReader(): void {
    this.#pendingAtLook = this.stream?.pendingBytes ?? 0;
    this.#waitUntil(this.isFull ? clock.nowMs + this.#home.engine.limits.writeIdleMs : Number.POSITIVE_INFINITY);
  }

  drain(): void {
    this.#home.drain();
  }

  /** A WebSocket is told to go then. */
  leaveAt(atMs: number): void {
    if (!this.#isTunnel || this.exchange === null) return;
    this.exchange.requestDeadlineMs = atMs;
    this.#waitUntil(this.expiresAtMs);
  }

  expired(nowMs: number): void {
    const { exchange, stream } = this;
    const { engine } = this.#home;
    this.expiresAtMs = nowMs + engine.limits.lingerMs;
    if (exchange !== null && nowMs >= exchange.requestDeadlineMs) requestTimedOut(engine, exchange);
    else if (stream !== null && stream.pendingBytes > 0) {
      // It takes something: it is slow, and not gone.
      if (stream.pendingBytes < this.#pendingAtLook) this.#waitForReader();
      else this.#giveUp(exchange);
    } else if (exchange !== null && !exchange.isRequestComplete) {
      requestBroken(engine, exchange, refusals.bodyTimeout);
    } else if (stream?.isLocalClosed) this.#giveUp(null);
  }

  /** The client does not take its answer, or took it and goes on. */
  #giveUp(exchange: Exchange | null): void {
    this.#reset(this.stream?.isLocalClosed ? errorCodes.noError : errorCodes.cancel);
    if (exchange !== null) {
      exchange.flag = 'DWT';
      clientGone(this.#home.engine, exchange);
    }
    this.#letGo();
  }
}

const nothing = Buffer.alloc(0);
/** Of a spare: its last home is a connection that may be gone, with all that it had. */
const nowhere = {} as StreamHome;
const spares: H2Stream[] = [];

export function takeH2Stream(): H2Stream {
  return spares.pop() ?? new H2Stream();
}
