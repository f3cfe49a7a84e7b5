import type { Door } from './door.ts';
import type { Expiring } from './sweep.ts';

/** A client connection of any protocol, as those that count, drain and close connections see it. */
export interface Connection extends Expiring {
  readonly door: Door;
  readonly requestsInFlight: number;
  /** Closes as soon as no exchange is in progress. */
  drain(): void;
  /** The gateway ends: clients of WebSockets are told to go at that time. */
  leaveAt(atMs: number): void;
  /** Closes now, whatever is in progress. */
  destroy(): void;
}
