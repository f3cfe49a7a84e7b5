import { shortBytes } from '../carry/handlelink.ts';
import { clock, readClock } from '../listen/clock.ts';
import { Held } from '../listen/held.ts';
import type { Expiring } from '../listen/sweep.ts';
import { BodyReader } from '../parse/bodyreader.ts';
import { bodyUntilClose } from '../parse/framing.ts';
import { Head, needsMore } from '../parse/head.ts';
import { interpretResponse, parseResponseHead, ResponseLine } from '../parse/responsehead.ts';
import type { Circuit } from '../select/circuit.ts';
import { attemptFailed, upstreamConnected } from './attempt.ts';
import { cutOff, type Dialled, lossOf, tlsFaultOf } from './dial.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { type Failure, failures } from './failures.ts';
import { H1Request } from './h1request.ts';
import { askOn, mostSilenceMs, passInterim } from './interims.ts';
import { headRestMs, type Keeping } from './keeping.ts';
import {
  phaseAbandoned,
  phaseBody,
  phaseClosed,
  phaseConnecting,
  phaseHead,
  phaseIdle,
  phaseResting,
  phaseTunnel,
} from './phase.ts';
import type { Pool } from './pools.ts';
import { chunkBytes, giveChunk, sharedUpstreamBuffer, takeChunk } from './relay.ts';
import { isReplyFull, replyBody, replyEnd, replyHead, replyLast } from './reply.ts';
import { buildRequestHead } from './requesthead.ts';
import type { ClientSide, UpstreamSide } from './sides.ts';
import { TryClock } from './tryclock.ts';
import { isAcceptOf, startTunnel, tunnelFromUpstream, tunnelIdle, tunnelUpstreamEnded } from './tunnel.ts';

/** Of the response that is being read: what follows from a head is done within the read that completes it. One serves the worker. */
const head = new Head();

/** One HTTP/1.1 connection to an endpoint: carries one request after the other. */
export class UpstreamConnection extends H1Request implements UpstreamSide, Dialled, Expiring {
  expiresAtMs: number;
  sweepIndex = -1;
  readonly pool: Pool;
  readonly line = new ResponseLine();
  /** Where the next read goes while a long body is read (relay.ts). */
  chunk: Buffer | null = null;
  isReused = false;
  hasEnded = false;
  hasAnswered = false;
  readonly keeping: Keeping;
  /** That it has carried, the present one included. */
  requests = 0;
  idleUntilMs = 0;
  readonly #engine: Engine;
  #phase = phaseConnecting;
  /** An interim answer has said that nothing may follow what is under way. */
  #isLast = false;
  #held: Held | null = null;
  readonly #body = new BodyReader();
  readonly #clock = new TryClock();
  /** Where an abandoned request is still counted. */
  #abandoned: Circuit | null = null;

  constructor(engine: Engine, pool: Pool, keeping: Keeping) {
    super();
    this.#engine = engine;
    this.pool = pool;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    this.keeping = keeping;
  }

  get isConnected(): boolean {
    return this.#phase !== phaseConnecting;
  }

  get heldBytes(): number {
    return this.#held?.bytes.length ?? 0;
  }

  assign(exchange: Exchange, nowMs: number): void {
    const { timeouts } = exchange.route as NonNullable<Exchange['route']>;
    this.exchange = exchange;
    this.requests++;
    this.#clock.begin(timeouts, exchange.isRequestComplete, nowMs);
    this.hasAnswered = false;
    this.requestHead = buildRequestHead(exchange);
    if (this.#phase === phaseConnecting) {
      this.expiresAtMs = this.#clock.connectDue(nowMs, timeouts.connectMs);
      return;
    }
    this.isReused = true;
    this.#phase = phaseHead;
    this.#restartClock(nowMs);
  }

  connected(): void {
    readClock();
    if (this.#phase !== phaseConnecting) return;
    const exchange = this.exchange;
    if (exchange === null) {
      this.destroy();
      return;
    }
    this.#phase = phaseHead;
    this.#restartClock(clock.nowMs);
    upstreamConnected(exchange);
  }

  receive(buffer: Buffer, start: number, end: number): void {
    readClock();
    if (this.#held === null) this.#consume(buffer, start, end);
    else this.#holdMore(this.#held, buffer, start, end);
    this.#chooseChunk(buffer);
  }

  /** A head is looked at again only when another line of it has ended, or backends that drip would cost its square. */
  #holdMore(held: Held, buffer: Buffer, start: number, end: number): void {
    this.#hold(held, buffer, start, end);
    const isLonger = held.length < this.#engine.limits.responseHeadBytes && !buffer.subarray(start, end).includes(0x0a);
    if (isLonger) return;
    this.#held = null;
    // Not released: what follows the head in it may wait where it lies until the client takes it.
    this.#consume(held.bytes, 0, held.length);
  }

  #hold(held: Held, buffer: Buffer, start: number, end: number): void {
    this.#engine.pressure.putBy(end - start);
    this.#held = held.add(buffer, start, end);
  }

  #consume(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && this.#phase === phaseHead) {
      at = this.#readHead(buffer, at, end);
      if (at === -1) return;
    }
    if (at >= end || this.#phase === phaseClosed) return;
    if (this.#phase === phaseBody) at = this.#readBody(buffer, at, end);
    else if (this.#phase === phaseTunnel && this.exchange !== null) {
      this.#restartClock(clock.nowMs);
      tunnelFromUpstream(this.exchange, buffer, at, end, buffer !== sharedUpstreamBuffer);
      if (this.#clock.isPaused) this.#engine.pressure.putBy(chunkBytes);
      at = end;
    }
    // Bytes that no request asked for: the next exchange would take them for its answer (response queue poisoning).
    if (at < end && at !== -1) this.destroy();
  }

  #chooseChunk(buffer: Buffer): void {
    const wantsChunk = this.#phase === phaseBody && this.#body.expectsMoreThan(shortBytes);
    // A client that takes nothing from the start holds what it was sent, and no room for more.
    if (!wantsChunk || this.chunk !== null || buffer !== sharedUpstreamBuffer || this.#clock.isPaused) return;
    if (this.#engine.pressure.hasRoomFor(chunkBytes)) this.chunk = takeChunk();
  }

  /** The body is over; whether the chunk can be used again depends on the client having taken what lies in it. */
  #dropChunk(client: ClientSide | null): void {
    if (this.chunk !== null && client !== null && !client.holdsLent) giveChunk(this.chunk);
    this.chunk = null;
  }

  /** @returns the offset after the head, `end` when more is needed, -1 when the connection is done for */
  #readHead(buffer: Buffer, start: number, end: number): number {
    const exchange = this.exchange as Exchange;
    const line = this.line;
    const after = parseResponseHead(line, head, buffer, start, end, this.#engine.limits);
    this.hasAnswered = true;
    if (after === needsMore) {
      this.#hold(new Held(), buffer, start, end);
      return end;
    }
    if (after < 0 || !interpretResponse(line, head, exchange.method === 'HEAD')) return this.#malformed(exchange);
    if (line.status < 200) {
      if (line.status === 101) return this.#switch(exchange, after);
      if (!passInterim(exchange, line, head)) return this.#malformed(exchange);
      this.#restartClock(clock.nowMs);
      if (!line.isKeepAlive) this.#isLast = true;
      return after;
    }
    // To the client of an extended CONNECT each 2xx would be the agreement (RFC 8441 §4): it would speak frames to a page.
    if (exchange.wantsWebSocket && exchange.line.version === 20 && line.status < 300) return this.#malformed(exchange);
    const body = this.#body;
    body.begin(line.bodyKind, line.contentLength);
    this.#phase = phaseBody;
    this.#clock.headCame();
    if (!body.isDone) this.#restartClock(clock.nowMs);
    // Tried again elsewhere: what follows on this connection is of no interest.
    if (!replyHead(this.#engine, exchange, line, head)) return -1;
    if (body.isDone) {
      replyLast(exchange);
      this.#finished(exchange, after < end);
      return after < end ? -1 : end;
    }
    // What comes with the head goes out with it, in one write; a head that came alone is not held back.
    if (after === end) {
      exchange.client?.flush(exchange);
      this.#throttle(exchange);
    }
    return after;
  }

  #readBody(buffer: Buffer, start: number, end: number): number {
    const exchange = this.exchange as Exchange;
    this.#restartClock(clock.nowMs);
    const isLent = buffer !== sharedUpstreamBuffer;
    const body = this.#body;
    const after = body.feed(buffer, start, end);
    if (after === -1) return this.#malformed(exchange);
    replyBody(exchange, buffer, body.payloadStart, body.payloadEnd, body.isDone ? body.takeTrailers() : null, isLent);
    if (!body.isDone) {
      this.#throttle(exchange);
      return end;
    }
    this.#finished(exchange, after < end);
    return after === end ? end : -1;
  }

  /** The response is complete. `hasMore`: bytes follow that nobody asked for. */
  #finished(exchange: Exchange, hasMore: boolean): void {
    this.exchange = null;
    this.#dropChunk(exchange.client);
    // A request that is still being sent would run into the next one.
    const mayStay = this.line.isKeepAlive && !hasMore && exchange.isRequestComplete && !this.#clock.isPaused;
    const isClean = mayStay && !this.#isLast && this.link.unsentBytes === 0 && this.line.bodyKind !== bodyUntilClose;
    const rests = exchange.method === 'HEAD' && this.line.contentLength !== 0;
    // Where connections are counted, one that rests would keep others waiting.
    if (!isClean || (rests && (this.pool.circuit !== null || this.#engine.isDraining))) {
      this.destroy();
    } else if (rests) {
      this.#phase = phaseResting;
      this.expiresAtMs = clock.nowMs + headRestMs;
    } else {
      this.#release();
    }
    replyEnd(this.#engine, exchange);
  }

  #release(): void {
    this.#phase = phaseIdle;
    this.pool.release(this, this.line.keepAliveMs);
  }

  #switch(exchange: Exchange, after: number): number {
    const { line } = this;
    const isAgreed = exchange.wantsWebSocket && line.isUpgrade && isAcceptOf(exchange.webSocketKey, head);
    if (!isAgreed) return this.#malformed(exchange);
    this.#phase = phaseTunnel;
    this.#clock.beginTunnel((exchange.route as NonNullable<Exchange['route']>).timeouts);
    this.#restartClock(clock.nowMs);
    startTunnel(exchange, line, head);
    return after;
  }

  #malformed(exchange: Exchange): number {
    this.#fail(exchange, failures.malformed);
    return -1;
  }

  #fail(exchange: Exchange, failure: Failure): void {
    this.destroy();
    attemptFailed(this.#engine, exchange, this, failure);
  }

  /** Reads no more while the client has not taken what it was sent. */
  #throttle(exchange: Exchange): void {
    if (!isReplyFull(exchange)) return;
    this.pause();
    this.#engine.pressure.putBy(chunkBytes);
  }

  pause(): void {
    if (this.#clock.isPaused) return;
    this.#clock.isPaused = true;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    this.link.pause();
  }

  resume(): void {
    if (!this.#clock.isPaused) return;
    this.#clock.isPaused = false;
    this.#restartClock(clock.nowMs);
    this.link.resume();
  }

  /** Request bytes were written; while the backend does not take them, the clock of sending runs and not that of reading. */
  protected override sent(): void {
    this.#clock.isSending = this.isFull;
    if (this.isFull && this.#phase === phaseTunnel) this.#engine.pressure.putBy(chunkBytes);
    this.#restartClock(clock.nowMs);
  }

  override end(): void {
    super.end();
    this.#clock.halveTunnel(this.#engine.limits.halfCloseMs);
    this.#restartClock(clock.nowMs);
  }

  #restartClock(nowMs: number): void {
    const { exchange } = this;
    const isUploading = this.#phase === phaseHead && exchange?.isRequestComplete === false;
    const dueMs = this.#clock.next(!isUploading, nowMs);
    this.expiresAtMs = isUploading && exchange.expectsContinue ? Math.min(dueMs, nowMs + mostSilenceMs) : dueMs;
  }

  emptied(): void {
    readClock();
    if (this.exchange === null) return;
    this.#clock.isSending = false;
    this.#restartClock(clock.nowMs);
    this.exchange.client?.resume();
  }

  /** The backend sent FIN. */
  ended(): void {
    readClock();
    this.hasEnded = true;
    if (this.#phase === phaseTunnel && this.exchange !== null) {
      tunnelUpstreamEnded(this.#engine, this.exchange);
      return;
    }
    this.#lost();
  }

  closed(): void {
    readClock();
    this.#lost();
  }

  #lost(): void {
    const phase = this.#phase;
    const exchange = this.exchange;
    const { isCutOff } = this.link;
    const isUntilClose = phase === phaseBody && this.line.bodyKind === bodyUntilClose;
    if (isUntilClose && this.link.fault === '' && !isCutOff && exchange !== null) {
      replyLast(exchange);
      this.#dropChunk(exchange.client);
      this.destroy();
      replyEnd(this.#engine, exchange);
      return;
    }
    this.destroy();
    if (exchange === null) return;
    const fault = isUntilClose && isCutOff ? cutOff : tlsFaultOf(this.link);
    if (fault !== '') exchange.upstreamFault = fault;
    attemptFailed(this.#engine, exchange, this, lossOf(this.link, fault, phase === phaseConnecting));
  }

  expired(nowMs: number): void {
    const exchange = this.exchange;
    if (exchange === null) {
      if (this.#phase === phaseResting) this.#release();
      else this.destroy();
      return;
    }
    if (this.#phase === phaseHead && exchange.expectsContinue && !exchange.isRequestComplete) {
      askOn(exchange, this.line);
      this.#restartClock(nowMs);
    } else if (this.#phase === phaseTunnel) tunnelIdle(this.#engine, exchange);
    else this.#fail(exchange, this.#clock.failure(this.isConnected, nowMs));
  }

  endSoon(): void {
    if (this.#phase === phaseClosed) return;
    this.exchange = null;
    this.expiresAtMs = clock.nowMs + this.#engine.limits.lingerMs;
    this.link.close();
  }

  /**
   * What a backend with a limit of requests works on counts until it has ended: whoever sends requests and gives them up at
   * once would otherwise have no limit (MadeYouReset, CVE-2025-8671). FIN says that nobody waits; bytes or FIN in return say
   * that the work is over.
   */
  abandon(): void {
    const exchange = this.exchange;
    const circuit = exchange?.backend?.state.circuit;
    const isWorking = this.#phase === phaseHead && exchange?.isRequestComplete === true;
    if (!isWorking || circuit === undefined || circuit.limits.requests === 0) {
      this.destroy();
      return;
    }
    this.#phase = phaseAbandoned;
    this.exchange = null;
    this.#abandoned = circuit;
    circuit.requests++;
    this.link.end();
  }

  destroy(): void {
    if (this.#phase === phaseClosed) return;
    this.#phase = phaseClosed;
    this.exchange = null;
    if (this.#abandoned !== null) this.#abandoned.requests--;
    this.#abandoned = null;
    this.chunk = null;
    this.pool.forget(this);
    this.link.destroy();
  }
}
