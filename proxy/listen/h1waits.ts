import type { Link } from '../carry/link.ts';
import type { Engine } from '../forward/engine.ts';
import type { Exchange } from '../forward/exchange.ts';
import { chunkBytes } from '../forward/relay.ts';
import { keptBytes, takenBytes } from '../forward/requestbody.ts';
import type { Peer } from '../forward/sides.ts';
import { BodyReader } from '../parse/bodyreader.ts';
import { clock, readClock } from './clock.ts';
import { restMs } from './connection.ts';
import { H1Reply } from './h1reply.ts';
import type { Held } from './held.ts';
import { phaseBody, phaseClosed, phaseIdle, phaseTunnel, phaseWaiting } from './phase.ts';

/** How long an HTTP/1 client connection waits, and what for. One wait is on at a time; the sweep looks at `expiresAtMs`. */
export abstract class H1Waits extends H1Reply {
  expiresAtMs: number;
  idleSinceMs: number;
  /** After FIN it may still read. */
  hasEnded = false;
  /** The next answer is the last. */
  isLeaving = false;
  /** When the first bytes came of a head that is not read yet; -1: it comes in one read. */
  protected headSinceMs = -1;
  /** When a WebSocket on it is to be told to go. */
  leavesAtMs = Number.POSITIVE_INFINITY;
  protected readonly engine: Engine;
  protected phase = phaseIdle;
  protected isPaused = false;
  /** For its turn. */
  protected isWaiting = false;
  /** The beginning of a head, or what came before the answer to the request before it. */
  protected held: Held | null = null;
  protected readonly body = new BodyReader();
  /** Bytes of the answer that were written when a half-closed client was last looked at. */
  #sentAtLook = 0;

  constructor(engine: Engine, peer: Peer, link: Link) {
    super(link, peer);
    this.engine = engine;
    readClock();
    this.idleSinceMs = clock.nowMs;
    this.expiresAtMs = clock.nowMs + peer.door.limits.idleMs;
  }

  get heldBytes(): number {
    if (this.link.isDestroyed) return 0;
    // What waits to be sent lies in the chunk that it was read into; what was read before a pause, in one of the client's or in a copy.
    let bytes = Math.max(this.link.unsentBytes, keptBytes(this.exchange)) + this.link.roomBytes;
    if (this.exchange !== null) bytes += takenBytes(this.exchange) + this.body.heldBytes;
    if (this.held !== null) return bytes + this.held.bytes.length;
    return this.isPaused ? bytes + chunkBytes : bytes;
  }

  /** A request is told from its first byte on, though its time limits run from its whole head. */
  protected tellFromFirstByte(exchange: Exchange): void {
    exchange.durationMs = clock.nowMs - this.headSinceMs;
    exchange.startMs -= exchange.durationMs;
    this.headSinceMs = -1;
  }

  /** Inside a request no wait is longer than what is left of its own time. */
  protected waitUntil(deadlineMs: number): void {
    this.expiresAtMs = Math.min(deadlineMs, (this.exchange as Exchange).requestDeadlineMs);
  }

  /** Nothing is awaited of the client but that it takes what was written: an early answer may be stuck, too. */
  protected waitForReader(): void {
    this.waitUntil(this.link.isFull ? clock.nowMs + this.engine.limits.writeIdleMs : Number.POSITIVE_INFINITY);
  }

  protected override writing(): void {
    if (this.phase !== phaseBody || this.isPaused) this.waitForReader();
  }

  /** The client has read what waited for it. */
  protected written(): void {
    if (this.phase === phaseBody && !this.isPaused) return;
    const isHalfClosed = this.hasEnded && this.phase === phaseWaiting;
    this.waitUntil(isHalfClosed ? clock.nowMs + this.engine.limits.halfCloseMs : Number.POSITIVE_INFINITY);
  }

  /** Perhaps only half-closed, perhaps gone: the kernel does not say. So it is waited for while its answer moves. */
  protected lookAgain(exchange: Exchange): void {
    this.#sentAtLook = exchange.bytesSent;
    this.waitUntil(clock.nowMs + this.engine.limits.halfCloseMs);
  }

  protected hasMoved(exchange: Exchange): boolean {
    return this.hasEnded && exchange.bytesSent > this.#sentAtLook;
  }

  pause(): void {
    if (this.isPaused) return;
    this.isPaused = true;
    // The body's clock stands still while it is the backend that does not take more.
    if (this.phase === phaseBody) this.waitForReader();
    this.link.pause();
  }

  resume(): void {
    if (!this.isPaused || this.phase === phaseClosed) return;
    this.isPaused = false;
    if (this.phase === phaseBody) this.waitUntil(clock.nowMs + this.peer.door.limits.bodyIdleMs);
    this.link.resume();
  }

  leaveAt(atMs: number): void {
    this.leavesAtMs = atMs;
    if (this.phase !== phaseTunnel) return;
    (this.exchange as Exchange).requestDeadlineMs = atMs;
    this.waitUntil(this.expiresAtMs);
  }

  /** Closes when nothing comes for a moment: a request that is on its way now is answered, with the word to go. */
  protected rest(): void {
    this.expiresAtMs = Math.min(this.expiresAtMs, clock.nowMs + restMs);
  }
}
