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
  /** That have come on it so far. */
  readonly requests: number;
  /** The number of the one that it goes with. */
  lastRequest: number;
  /** As many as there were when the worker was last looked at, and at how many looks there was none more (spreading.ts). */
  requestsSeen: number;
  idleLooks: number;
  /** Bytes that it keeps in memory because one of its ends does not take them, and for another try of its requests. */
  readonly heldBytes: number;
  /** Waits for a request: to end it costs the client a connection and nothing else. */
  readonly isIdle: boolean;
  /** Closes as soon as no exchange is in progress. */
  drain(): void;
  /** The gateway ends: clients of WebSockets are told to go at that time. */
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
