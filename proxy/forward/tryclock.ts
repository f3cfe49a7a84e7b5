import type { Route } from '#table/route.ts';
import { type Failure, failures } from './failures.ts';

type Timeouts = Route['timeouts'];

/** Which of the waits of one try at a backend is on, and when it is over. Every upstream side has one. */
export class TryClock {
  /** The backend does not take what was written: the wait is for that, and not for an answer. */
  isSending = false;
  /** The answer is not read, because the client does not take it: a backend that waits for us may be silent. */
  isPaused = false;
  #readMs = 0;
  #sendMs = 0;
  #tryMs = 0;
  #headDueMs = Number.POSITIVE_INFINITY;
  /** When the wait that is on began. */
  sinceMs = 0;

  /** @param isRequestComplete the answer can come from now on; else from `next` with it on */
  begin({ readMs, sendMs, tryMs }: Timeouts, isRequestComplete: boolean, nowMs: number): void {
    this.#readMs = readMs;
    this.#sendMs = sendMs;
    this.#tryMs = tryMs;
    this.#headDueMs = Number.POSITIVE_INFINITY;
    this.isSending = this.isPaused = false;
    if (isRequestComplete) this.#awaitHead(nowMs);
  }

  /** The head has come: what follows is a matter of pauses. */
  headCame(): void {
    this.#headDueMs = Number.POSITIVE_INFINITY;
    this.#tryMs = 0;
  }

  /** From here on, both directions are one silence. */
  beginTunnel({ tunnelMs }: Timeouts): void {
    this.headCame();
    this.#readMs = this.#sendMs = tunnelMs;
  }

  /** What a client that has ended its half sent last may still be answered, but an hour's silence is for those that are there. */
  halveTunnel(halfCloseMs: number): void {
    this.#readMs = this.#readMs === 0 ? halfCloseMs : Math.min(this.#readMs, halfCloseMs);
  }

  /**
   * Bytes have moved. A backend that is still being uploaded to need not answer yet: whether the client stalls is the client's
   * clock.
   *
   * @returns when the wait that begins is over; Infinity while nothing is waited for
   */
  next(isRequestComplete: boolean, nowMs: number): number {
    this.sinceMs = nowMs;
    if (isRequestComplete && this.#headDueMs === Number.POSITIVE_INFINITY) this.#awaitHead(nowMs);
    if (this.isPaused) return Number.POSITIVE_INFINITY;
    if (this.isSending) return this.#orHeadDue(waitOver(nowMs, this.#sendMs));
    return isRequestComplete ? this.#orHeadDue(waitOver(nowMs, this.#readMs)) : Number.POSITIVE_INFINITY;
  }

  /** The wait for a connection, which the time for the try may end sooner. */
  connectDue(nowMs: number, connectMs: number): number {
    this.sinceMs = nowMs;
    return this.#orHeadDue(waitOver(nowMs, connectMs));
  }

  /** What has happened when time is up. */
  failure(isConnected: boolean, nowMs: number): Failure {
    if (nowMs >= this.#headDueMs) return isConnected ? failures.tryTimeout : failures.tryUnsent;
    if (!isConnected) return failures.connectTimeout;
    return this.isSending ? failures.sendTimeout : failures.readTimeout;
  }

  #awaitHead(nowMs: number): void {
    if (this.#tryMs > 0) this.#headDueMs = nowMs + this.#tryMs;
  }

  #orHeadDue(dueMs: number): number {
    return Math.min(dueMs, this.#headDueMs);
  }
}

/** @param ms 0: never */
export function waitOver(nowMs: number, ms: number): number {
  return ms === 0 ? Number.POSITIVE_INFINITY : nowMs + ms;
}
