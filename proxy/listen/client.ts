import type { Link } from '../carry/link.ts';
import { flushRequest, requestTimedOut } from '../forward/attempt.ts';
import type { Engine } from '../forward/engine.ts';
import { type Exchange, giveExchange, takeExchange } from '../forward/exchange.ts';
import { chunkBytes, giveChunk, sharedClientBuffer, takeChunk } from '../forward/relay.ts';
import { clientDrained } from '../forward/reply.ts';
import { requestBody, requestBroken } from '../forward/requestbody.ts';
import type { ClientSide, Peer } from '../forward/sides.ts';
import { tunnelClientEnded, tunnelFromClient } from '../forward/tunnel.ts';
import { bodyLength } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { isEmptyLine, needsMore, parseRequestHead } from '../parse/requestline.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { clientGone, refuse } from './answer.ts';
import { clock, readClock } from './clock.ts';
import type { SocketConnection } from './connection.ts';
import { bodyDueMs } from './drip.ts';
import { H1Waits } from './h1waits.ts';
import { beginsH2, type H2Taker } from './h2preface.ts';
import { Held, mostHeldBytes } from './held.ts';
import { interpretRequest } from './interpret.ts';
import { isLong, isLongHead, isWorthALook } from './longheads.ts';
import {
  phaseBody,
  phaseBroken,
  phaseClosed,
  phaseFlushing,
  phaseHead,
  phaseIdle,
  phaseLinger,
  phaseTunnel,
  phaseTurn,
  phaseWaiting,
} from './phase.ts';
import { type Refusal, refusalOf, refusals } from './refusals.ts';
import { sourceKeyOf } from './sources.ts';
import { awaitTurn } from './turns.ts';

/** One client's HTTP/1.1 connection: reads requests one after the other and lets each be answered before the next (RFC 9112 §9.3.2). */
export class ClientConnection extends H1Waits implements ClientSide, SocketConnection {
  sweepIndex = -1;
  /** Where the next read goes, when a body is being read (relay.ts). */
  chunk: Buffer | null = null;
  requests = 0;
  lastRequest: number;
  requestsSeen = 0;
  idleLooks = 0;
  readonly #seat: H2Taker | null;
  #isConsuming = false;
  #hasTurn = false;

  /** @param seat who takes over when the first bytes are of HTTP/2; null: nobody */
  constructor(engine: Engine, peer: Peer, link: Link, seat: H2Taker | null) {
    super(engine, peer, link);
    this.lastRequest = peer.door.limits.requestsPerConnection;
    this.#seat = seat;
  }

  get isIdle(): boolean {
    return this.phase === phaseIdle && this.link.unsentBytes === 0 && !this.link.isDestroyed;
  }

  receive(buffer: Buffer, start: number, end: number): void {
    readClock();
    if (this.held === null || this.phase > phaseHead) {
      this.#consume(buffer, start, end);
      return;
    }
    this.#hold(buffer, start, end);
    const isDue = this.phase === phaseIdle || isWorthALook(this.held, end - start, this.engine.limits.headBytes);
    if (isDue) this.#consumeHeld(this.held);
    else if (isLong(this.held)) this.#awaitTurn();
  }

  #consumeHeld(held: Held): void {
    this.held = null;
    this.resume();
    this.#consume(held.bytes, 0, held.length);
    held.release();
  }

  #consume(buffer: Buffer, start: number, end: number): void {
    this.#isConsuming = true;
    let at = start;
    while (at < end) {
      if (this.phase <= phaseHead) at = this.#readHead(buffer, at, end);
      else if (this.phase === phaseBody) at = this.#readBody(buffer, at, end);
      else if (this.phase === phaseTunnel) {
        tunnelFromClient(this.exchange as Exchange, buffer, at, end, buffer === this.chunk);
        at = end;
      } else {
        if (this.phase !== phaseLinger && this.phase !== phaseClosed) this.#holdNext(buffer, at, end);
        at = end;
      }
    }
    this.#isConsuming = false;
    if (this.exchange?.isHeadPending) flushRequest(this.exchange);
    this.#chooseChunk(buffer);
  }

  /** A long body is read into a chunk of its own once its backend takes it, everything else into the shared buffer. */
  #chooseChunk(buffer: Buffer): void {
    const wantsChunk = !this.peer.door.isTls && this.phase === phaseBody && this.body.expectsMoreThan(chunkBytes);
    if (!wantsChunk) {
      // An unfinished write may still point into it: then the collector has it.
      if (this.chunk !== null && this.exchange?.upstream?.holdsLent === false) giveChunk(this.chunk);
      this.chunk = null;
    } else if (this.chunk === null && buffer === sharedClientBuffer && !this.isPaused) {
      if (this.engine.pressure.hasRoomFor(chunkBytes)) this.chunk = takeChunk();
    }
  }

  #hold(buffer: Buffer, start: number, end: number): void {
    this.engine.pressure.putBy(end - start);
    this.held = (this.held ?? new Held()).add(buffer, start, end);
  }

  /** Of the next requests. */
  #holdNext(buffer: Buffer, start: number, end: number): void {
    this.#hold(buffer, start, end);
    if ((this.held as Held).length >= mostHeldBytes) this.pause();
  }

  /** @returns the offset after what was used */
  #readHead(buffer: Buffer, start: number, end: number): number {
    const engine = this.engine;
    if (!this.#hasTurn && isLongHead(buffer, start, end) && !engine.pressure.isFull) {
      this.#putOff(buffer, start, end);
      return end;
    }
    this.#hasTurn = false;
    const exchange = takeExchange();
    const after = parseRequestHead(exchange.line, exchange.head, buffer, start, end, engine.limits);
    if (after === needsMore) {
      giveExchange(exchange);
      if (engine.pressure.isFull) this.#refuseHead(refusals.overload);
      else this.#hold(buffer, start, end);
      if (this.phase === phaseIdle && !(this.requests > 0 && isEmptyLine(buffer, start, end))) {
        this.phase = phaseHead;
        if (this.headSinceMs === -1) this.headSinceMs = clock.nowMs;
        this.expiresAtMs = this.headSinceMs + this.peer.door.limits.headMs;
        engine.halfOpen.add(this, clock.nowMs);
      }
      return end;
    }
    if (this.phase === phaseHead) engine.halfOpen.delete(this);
    if (after < 0 && this.requests === 0 && this.#seat !== null && beginsH2(buffer, start, end)) {
      giveExchange(exchange);
      this.phase = phaseClosed;
      this.#seat.spokeH2(this, buffer, start, end);
      return end;
    }
    this.requests++;
    this.#begin(exchange);
    const refused = after < 0 ? refusalOf(after) : interpretRequest(exchange);
    if (refused !== null) {
      if (after < 0) exchange.method = '';
      exchange.isRequestComplete = false;
      refuse(engine, exchange, refused);
      return end;
    }
    this.waitUntil(Number.POSITIVE_INFINITY);
    this.#enterBody(exchange);
    const length = exchange.contentLength;
    const isWhole = exchange.bodyKind === bodyLength && length <= end - after;
    if (isWhole) exchange.isRequestComplete = true;
    const isLast = this.requests >= this.lastRequest;
    if (!exchange.isKeepAlive || isLast || this.isLeaving || engine.isDraining) exchange.willClose = true;
    engine.run(exchange);
    // Answered on the spot: a body that is here already is skipped, for one that is not the connection was given up.
    if (this.exchange !== exchange) return isWhole ? after + length : after;
    if (exchange.requestDeadlineMs < this.expiresAtMs) this.expiresAtMs = exchange.requestDeadlineMs;
    if (isWhole) exchange.isRequestComplete = false;
    return after;
  }

  #putOff(buffer: Buffer, start: number, end: number): void {
    this.engine.halfOpen.delete(this);
    this.#hold(buffer, start, end);
    if (this.phase === phaseIdle) this.headSinceMs = clock.nowMs;
    this.phase = phaseTurn;
    this.expiresAtMs = clock.nowMs + this.peer.door.limits.headMs;
    this.#awaitTurn();
  }

  /** Nothing more of it is read until then; what TLS had read may come all the same, and has no turn of its own. */
  #awaitTurn(): void {
    this.pause();
    if (!this.isWaiting) awaitTurn(sourceKeyOf(this.peer.address), () => this.#turnCame());
    this.isWaiting = true;
  }

  #turnCame(): void {
    this.isWaiting = false;
    readClock();
    if (this.phase === phaseBroken) requestBroken(this.engine, this.exchange as Exchange, refusals.chunk);
    else if (this.phase === phaseHead) this.resume();
    else if (this.phase === phaseTurn) {
      this.#hasTurn = true;
      this.#next();
    }
  }

  #begin(exchange: Exchange): void {
    exchange.begin(this, clock.nowMs);
    if (this.headSinceMs !== -1) this.tellFromFirstByte(exchange);
    this.exchange = exchange;
    this.engine.observer.requestStarted();
  }

  #enterBody(exchange: Exchange): void {
    this.body.begin(exchange.bodyKind, exchange.contentLength);
    this.phase = this.body.isDone ? phaseWaiting : phaseBody;
    if (this.phase === phaseBody) this.waitUntil(exchange.startedAtMs + this.peer.door.limits.bodyIdleMs);
  }

  #readBody(buffer: Buffer, start: number, end: number): number {
    const exchange = this.exchange as Exchange;
    const body = this.body;
    const after = body.feed(buffer, start, end);
    if (after === -1) {
      this.phase = phaseBroken;
      if (exchange.isHeadPending) this.#turnCame();
      else this.#awaitTurn();
      return end;
    }
    // TLS may bring what it has decrypted after the pause; the clock stands still all the same.
    if (!this.isPaused) this.waitUntil(bodyDueMs(this.peer.door.limits, this.expiresAtMs, after - start));
    if (body.isDone) {
      exchange.isRequestComplete = true;
      this.phase = phaseWaiting;
      this.waitForReader();
    }
    if (body.isDone || body.payloadEnd > body.payloadStart) {
      const trailers = body.isDone ? body.takeTrailers() : null;
      const isLent = buffer === this.chunk;
      requestBody(this.engine, exchange, buffer, body.payloadStart, body.payloadEnd, trailers, isLent);
    } else {
      // Trailers have begun, if anything.
      this.engine.pressure.putBy(end - start);
    }
    return after;
  }

  /** The exchange is over and its record is written. Goes on with the next request, or closes. */
  exchangeEnded(exchange: Exchange): void {
    // Requests that came before FIN may still be held, or be what is being read now.
    const isLast = this.hasEnded && this.held === null && !this.#isConsuming;
    const mayStay = !exchange.willClose && exchange.isRequestComplete && !isLast;
    const wasLast = !exchange.isKeepAlive && exchange.isRequestComplete && !this.isPaused;
    this.exchange = null;
    giveExchange(exchange);
    if (this.phase === phaseClosed) return;
    if (!mayStay && wasLast) this.#close();
    else if (!mayStay) this.#linger();
    else if (!this.link.isFull) this.#next();
    else {
      this.phase = phaseFlushing;
      this.expiresAtMs = clock.nowMs + this.engine.limits.writeIdleMs;
    }
  }

  /** Ready for the next request, which may be here already. */
  #next(): void {
    this.phase = phaseIdle;
    this.idleSinceMs = clock.nowMs;
    this.expiresAtMs = clock.nowMs + this.peer.door.limits.idleMs;
    if (this.isPaused) this.resume();
    const held = this.held;
    if (this.#isConsuming) return;
    if (held === null) {
      if (this.hasEnded) this.#linger();
      else if (this.isLeaving || this.engine.isDraining) this.rest();
      return;
    }
    this.#consumeHeld(held);
    // The FIN came while these bytes waited: a body among them that is cut will never be whole.
    if (this.hasEnded) this.ended();
    else if (this.isIdle && (this.isLeaving || this.engine.isDraining)) this.rest();
  }

  /** The client has sent all that it ever will: it said so, and nothing is unread that could make the end a reset. */
  #close(): void {
    this.held = null;
    this.phase = phaseLinger;
    this.expiresAtMs = clock.nowMs + this.engine.limits.writeIdleMs;
    this.link.close();
  }

  /**
   * Sends FIN and reads on for a while: closing with unread bytes in the kernel's buffer would be a reset, which can
   * destroy the answer before the client has read it (RFC 9112 §9.6).
   */
  #linger(): void {
    this.held = null;
    this.phase = phaseLinger;
    if (this.link.isDestroyed) return;
    this.expiresAtMs = clock.nowMs + this.engine.limits.writeIdleMs;
    this.link.end();
    if (!this.hasEnded) this.resume();
  }

  override startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void {
    super.startTunnel(exchange, line, head);
    this.phase = phaseTunnel;
    exchange.requestDeadlineMs = this.expiresAtMs = this.leavesAtMs;
    const held = this.held;
    this.held = null;
    if (held !== null) tunnelFromClient(exchange, held.bytes, 0, held.length, false);
    held?.release();
    if (this.hasEnded) tunnelClientEnded(this.engine, exchange);
    else if (exchange.upstream?.isFull === false) this.resume();
  }

  ended(): void {
    readClock();
    this.hasEnded = true;
    switch (this.phase) {
      case phaseIdle:
      case phaseLinger:
        this.link.close();
        return;
      case phaseHead:
        this.#refuseHead(refusals.truncated);
        return;
      case phaseBody:
        requestBroken(this.engine, this.exchange as Exchange, refusals.truncated);
        return;
      case phaseTunnel:
        tunnelClientEnded(this.engine, this.exchange as Exchange);
        return;
      case phaseWaiting:
        this.lookAgain(this.exchange as Exchange);
    }
  }

  emptied(): void {
    readClock();
    const exchange = this.exchange;
    if (exchange !== null) {
      this.written();
      clientDrained(exchange);
    } else if (this.phase === phaseFlushing) this.#next();
    // Lingering begins with FIN, not before: a slow client would lose the end of its answer.
    else if (this.phase === phaseLinger) this.expiresAtMs = clock.nowMs + this.engine.limits.lingerMs;
  }

  closed(): void {
    readClock();
    if (this.phase === phaseClosed) return;
    this.phase = phaseClosed;
    this.held = this.chunk = null;
    this.engine.halfOpen.delete(this);
    if (this.exchange !== null) clientGone(this.engine, this.exchange);
    this.engine.connectionClosed(this);
  }

  expired(nowMs: number): void {
    const exchange = this.exchange;
    this.expiresAtMs = nowMs + this.engine.limits.lingerMs;
    if (exchange !== null && nowMs >= exchange.requestDeadlineMs) {
      requestTimedOut(this.engine, exchange);
      return;
    }
    switch (this.phase) {
      case phaseHead:
      case phaseTurn:
        this.#refuseHead(this.phase === phaseHead ? refusals.headTimeout : refusals.overload);
        return;
      case phaseBody:
        requestBroken(this.engine, this.exchange as Exchange, refusals.bodyTimeout);
        return;
      case phaseWaiting:
        if (exchange === null || !this.hasMoved(exchange)) break;
        this.lookAgain(exchange);
        return;
    }
    if (exchange !== null && this.isFull) exchange.flag = 'DWT';
    this.destroy();
  }

  /** A head that will never be complete. */
  #refuseHead(refused: Refusal): void {
    const exchange = takeExchange();
    exchange.line.method = '';
    this.#begin(exchange);
    refuse(this.engine, exchange, refused);
  }

  drain(): void {
    const { exchange } = this;
    this.isLeaving = true;
    // Once the head of its answer has said that the connection stays, the next request may be on its way: that one hears of the end.
    if (exchange !== null) exchange.willClose ||= !exchange.isResponseStarted;
    else if (this.phase === phaseIdle) this.rest();
  }
}
