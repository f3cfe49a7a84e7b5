import { performance } from 'node:perf_hooks';

/** Bytes that V8 can collect, or could. */
export interface ShedBytes {
  readonly bytes: number;
  /** Of these, what OpenSSL was given: it is kept until the turn of the loop is over. */
  readonly lateBytes: number;
}

/** Ends connections that keep much in memory, until so many bytes will come free; none where all together hold less than `leastBytes`. */
export type Shed = (bytes: number, leastBytes: number) => ShedBytes;

/**
 * Ends connections for want of memory, and knows what of theirs is still to come free: they close at the end of a turn of the loop,
 * and V8 collects later.
 */
export class Shedding {
  readonly #mostBytes: number;
  readonly #shed: Shed;
  #collectedMs = Number.NEGATIVE_INFINITY;
  /** Bytes that were shed and are not known to be free. */
  #pendingBytes = 0;
  #lateBytes = 0;
  /** Shed since the last collection, without what comes free late. */
  #bytesSince = 0;
  /** In use after the last collection. */
  #usedBytes = 0;
  #lastInLoop = 0;
  #isShedding = false;

  constructor(mostBytes: number, shed: Shed) {
    this.#mostBytes = mostBytes;
    this.#shed = shed;
  }

  /**
   * @param usedBytes in V8's hands now. What clients leave by themselves is garbage as well: in one turn of the loop thousands of
   * them may go, and others take their place.
   */
  isCollectionDue(usedBytes: number): boolean {
    const mostBytes = this.#mostBytes / collectionsPerFill;
    if (this.#bytesSince > mostBytes || usedBytes - this.#usedBytes > mostBytes) return true;
    const isLateFree = this.#lateBytes > 0 && this.#lastInLoop !== loopCount();
    const everyMs = this.#pendingBytes > this.#lateBytes || isLateFree ? collectShedEveryMs : collectEveryMs;
    return performance.now() - this.#collectedMs > everyMs;
  }

  /** V8 has collected everything but `usedBytes`. */
  collected(usedBytes: number): void {
    this.#usedBytes = usedBytes;
    this.#collectedMs = performance.now();
    this.#bytesSince = 0;
    this.#pendingBytes = this.#lateBytes = this.#lastInLoop === loopCount() ? this.#lateBytes : 0;
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
      const shed = this.#shed(bytes - this.#pendingBytes, this.#mostBytes / shedsPerFill);
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
/** One for so much takes a twentieth of a second where the limit is small. */
const collectionsPerFill = 24;
/** A collection of everything takes a tenth of a second where the heap is large. */
const collectEveryMs = 2_000;
const collectShedEveryMs = 250;
