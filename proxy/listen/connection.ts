import type { Receiver } from '../carry/link.ts';
import type { ClientProof } from './clientproof.ts';
import type { Door } from './door.ts';
import type { Expiring } from './sweep.ts';

/**
 * How long an idle HTTP/1.1 connection that is to end waits for one more request, ms. Closing at once would cross
 * requests that are on their way: 2 of 8 busy clients lost one so.
 */
export const restMs = 1_000;

/** A client connection of any protocol, as those that count, drain and close connections see it. */
export interface Connection extends Expiring {
  readonly door: Door;
  /** What its client showed; null: it was not asked for a certificate. */
  readonly proof: ClientProof | null;
  readonly requestsInFlight: number;
  /** Requests that have come on it so far. */
  readonly requests: number;
  /** The connection ends with the answer to the request of this number, the first being 1. */
  lastRequest: number;
  /** `requests` at the last look of spreading.ts. */
  requestsSeen: number;
  /** Looks in a row at which no request had come since the one before. */
  idleLooks: number;
  /** Bytes that it keeps in memory because one of its ends does not take them, or to be able to send a request once more. */
  readonly heldBytes: number;
  /** Waits for a request, and is not ending: to end it costs the client a connection and nothing else. */
  readonly isIdle: boolean;
  /** Since when, if it is; `expiresAtMs` differs by protocol and listener. performance.now() based. */
  readonly idleSinceMs: number;
  /** Closes as soon as no exchange is in progress. */
  drain(): void;
  /** The gateway ends: clients of WebSockets, also of such as begin later, are told to go at that time. */
  leaveAt(atMs: number): void;
  /** Closes now, whatever is in progress. */
  destroy(): void;
  /**
   * The same for want of memory. Not to be called while the connection is at work.
   * @returns bytes of those that it holds that come free at the end of this turn of the loop; the others do at once
   */
  shed(): number;
}

/** A connection as its link sees it. */
export type SocketConnection = Connection & Receiver;
