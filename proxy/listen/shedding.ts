import { performance } from 'node:perf_hooks';

/** Bytes that V8 can collect, or could. */
export interface ShedBytes {
  readonly bytes: number;
  /** Of these, what OpenSSL was given: it is kept until the turn of the loop is over. */
  readonly lateBytes: number;
}

export interface ShedGoal {
  /** So many are to come free. */
  readonly bytes: number;
  /** Of what all connections together hold, so much at the least. */
  readonly share: number;
  /** Where all together hold less, it is not they who fill memory. */
  readonly leastBytes: number;
}

/** Ends connections that keep much in memory, until enough will come free. */
export type Shed = (goal: ShedGoal) => ShedBytes;

/**
 * Ends connections for want of memory, and knows what of theirs is still to come free: they close at the end of a turn of the loop,
 * and V8 collects later.
 */
export class Shedding {
  readonly #mostBytes: number;
  readonly #held: () => number;
  readonly #shed: Shed;
  #collectedMs = Number.NEGATIVE_INFINITY;
  /** Bytes that were shed and are not known to be free. */
  #pendingBytes = 0;
  #lateBytes = 0;
  /** Shed since the last collection, without what comes free late. */
  #bytesSince = 0;
  /** In use after the last collection. */
  #usedBytes = 0;
  /** Of these, what connections held. */
  #heldBytes = 0;
  #lastInLoop = 0;
  #isShedding = false;
  #filledMs = Number.NEGATIVE_INFINITY;
  /** Of what connections hold, what is ended when memory has filled. */
  #share = leastShare;
  /** The same, until it is done. */
  #dueShare = 0;

  /** @param held what connections hold, in bytes */
  constructor(mostBytes: number, held: () => number, shed: Shed) {
    this.#mostBytes = mostBytes;
    this.#held = held;
    this.#shed = shed;
  }

  /** Whether everything is to be collected because connections were ended, or nobody has for long. */
  get isCollectionDue(): boolean {
    if (this.#bytesSince > this.#mostBytes / collectionsPerFill) return true;
    const isLateFree = this.#lateBytes > 0 && this.#lastInLoop !== loopCount();
    const everyMs = this.#pendingBytes > this.#lateBytes || isLateFree ? collectShedEveryMs : collectEveryMs;
    return performance.now() - this.#collectedMs > everyMs;
  }

  /**
   * Whether much has come since everything was collected. What clients leave by themselves is garbage as well: in one turn of the loop
   * thousands of them may go, and others take their place.
   *
   * @param usedBytes in the hands of V8 and OpenSSL now
   */
  hasGrown(usedBytes: number): boolean {
    return usedBytes - this.#usedBytes > this.#mostBytes / collectionsPerFill;
  }

  /** Whether much of that is held by nobody. What connections hold they know but roughly: nobody should be ended for it. */
  hasGarbage(usedBytes: number): boolean {
    return this.hasGrown(usedBytes) && this.hasGrown(usedBytes - (this.#held() - this.#heldBytes));
  }

  /** V8 has collected everything but what is used. */
  collected(usedBytes: number): void {
    this.#usedBytes = usedBytes;
    this.#heldBytes = this.#held();
    this.#collectedMs = performance.now();
    this.#bytesSince = 0;
    this.#pendingBytes = this.#lateBytes = this.#lastInLoop === loopCount() ? this.#lateBytes : 0;
  }

  /**
   * Memory is full, and was not a moment ago. Where that goes on, each time more is ended: the less is in use, the more comes in
   * until everything has to be collected again. With as much as barely suffices each time, whoever fills 9 MB twenty times a second
   * has a worker do nothing but collect.
   */
  filled(): void {
    const nowMs = performance.now();
    const isAgain = nowMs - this.#filledMs < againMs;
    this.#filledMs = nowMs;
    this.#share = isAgain ? Math.min(2 * this.#share, mostShare) : Math.max(this.#share / 2, leastShare);
    this.#dueShare = this.#share;
  }

  /**
   * To turn away what is new does not help against what is here and grows, or stays for as long as its deadlines allow. Connections
   * end when whoever put bytes by has done with them, and before the next read: a turn of the loop may have thousands.
   */
  free(bytes: number): void {
    if (this.#isShedding || bytes <= this.#pendingBytes) return;
    this.#isShedding = true;
    queueMicrotask(() => {
      this.#isShedding = false;
      const share = this.#dueShare;
      this.#dueShare = 0;
      const leastBytes = this.#mostBytes / shedsPerFill;
      const shed = this.#shed({ bytes: bytes - this.#pendingBytes, share, leastBytes });
      this.#pendingBytes += shed.bytes;
      this.#bytesSince += shed.bytes - shed.lateBytes;
      this.#lateBytes += shed.lateBytes;
      this.#lastInLoop = loopCount();
    });
  }
}

/** Turns of the event loop so far. */
export function loopCount(): number {
  return performance.nodeTiming.uvMetricsInfo.loopCount;
}

const shedsPerFill = 16;
const againMs = 2_000;
const leastShare = 1 / 16;
const mostShare = 1 / 2;
/** One for so much takes a twentieth of a second where the limit is small. */
const collectionsPerFill = 24;
/** A collection of everything takes a tenth of a second where the heap is large. */
const collectEveryMs = 2_000;
const collectShedEveryMs = 250;
