import type { Admission } from './admission.ts';
import type { ClientProof } from './clientproof.ts';
import { clock, readClock } from './clock.ts';
import type { Connection } from './connection.ts';
import type { Door } from './door.ts';

/** A client's connection whose protocol has not begun: there is no request on it, and nothing that would be lost with it. */
export abstract class Nascent implements Connection {
  readonly chunk = null;
  readonly proof: ClientProof | null = null;
  readonly requestsInFlight = 0;
  readonly requests = 0;
  lastRequest = 0;
  requestsSeen = 0;
  idleLooks = 0;
  readonly isIdle = false;
  readonly idleSinceMs = 0;
  sweepIndex = -1;
  expiresAtMs: number;
  readonly begunAtMs: number;
  readonly admission: Admission;

  /** @param waitMs how long it may take until its protocol begins */
  constructor(admission: Admission, waitMs: number) {
    readClock();
    this.admission = admission;
    this.begunAtMs = clock.nowMs;
    this.expiresAtMs = clock.nowMs + waitMs;
  }

  get heldBytes(): number {
    return 0;
  }

  abstract readonly door: Door;
  abstract expired(): void;
  abstract drain(): void;
  abstract leaveAt(atMs: number): void;
  abstract destroy(): void;

  shed(): number {
    this.destroy();
    return 0;
  }

  emptied(): void {}
}
