import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { waitingToBeAccepted } from '../carry/acceptqueue.ts';
import { giveBackFreed } from '../carry/freed.ts';
import { talkers } from '../carry/talkers.ts';
import type { Limits } from './limits.ts';
import { loopCount, type Shed, Shedding } from './shedding.ts';
import { Throttle } from './throttle.ts';

/** What a Pressure is told when a period ends. */
export interface PeriodCounts {
  /** The most connections that one source has tried to open. */
  readonly mostFresh: number;
  /** Connections that were turned away because of the allowance. */
  readonly turnedAway: number;
  /** Connections that came, from whomever. */
  readonly knocks: number;
  /** TLS connections of clients. */
  readonly secure: number;
}

export interface PressureOptions {
  readonly limits: Limits;
  /** Called at the end of each period. */
  counts(): PeriodCounts;
  /** Descriptors of the sockets that listen. */
  listening(): readonly number[];
  /** What connections hold, in bytes. */
  held(): number;
  readonly shed: Shed;
}

/**
 * How much a worker has to do and to hold, looked at ten times a second for a few µs. Who depends on it reads plain fields.
 */
export class Pressure {
  /** Memory is short: answers end their connections, so that it comes free. */
  isTight = false;
  /** There is no memory to give: new requests and connections of those are turned away who held most. */
  isFull = false;
  /** Nor is there for anybody else. */
  isOut = false;
  /** How many connections may be accepted in a turn of the loop. */
  acceptsPerTurn = 1;
  readonly throttle: Throttle;
  readonly #mostBytes: number;
  /** Of these, what may be V8's objects and strings. It ends the process where they are more than its heap may be. */
  readonly #mostHeapBytes = heapShare * getHeapStatistics().heap_size_limit;
  /** What fills first: by it is told how often to look, and how much to end at a time. */
  readonly #fillBytes: number;
  readonly #options: PressureOptions;
  readonly #shedding: Shedding;
  readonly #timer: NodeJS.Timeout;
  #loops = loopCount();
  #cpu = process.threadCpuUsage();
  #utilization = performance.eventLoopUtilization();
  #secure = 0;
  /** Bytes that were put by since the last look. */
  #grown = 0;
  /** That talkers had then. */
  #roomBytes = 0;
  /** Memory was short, and what that has left behind was not collected. */
  #hasLeftOver = false;
  #givenBackMs = 0;
  #usage = process.memoryUsage();

  constructor(options: PressureOptions) {
    this.throttle = new Throttle(options.limits.overloadMs);
    this.#mostBytes = options.limits.memoryBytes;
    this.#fillBytes = Math.min(this.#mostBytes, this.#mostHeapBytes);
    this.#options = options;
    this.#shedding = new Shedding(this.#fillBytes, options.held, options.shed);
    this.#timer = setInterval(() => this.#look(), periodMs).unref();
  }

  /** Asked before bytes are put by that need not be. */
  hasRoomFor(bytes: number): boolean {
    this.putBy(bytes);
    return !this.isFull;
  }

  /** Bytes are kept because somebody does not take them: what comes at once must not be past the limit before the next look. */
  putBy(bytes: number): void {
    if (this.#mostBytes === 0) return;
    this.#grown += bytes;
    // A record of a TLS client that is put by is a quarter of the room that was taken to read it, and most of what one turn brings.
    const taken = Math.max(0, talkers.roomBytes - this.#roomBytes);
    if (this.#grown + taken > this.#fillBytes / looksPerFill) this.#weigh();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const counts = this.#options.counts();
    this.throttle.endPeriod({ waitMs: this.#waitMs(counts.knocks), ...counts });
    this.#secure = counts.secure;
    if (this.#mostBytes > 0) this.#weigh();
  }

  /**
   * How long one who connects now waits, ms: for a turn, and for all who stand before him in the kernel's queue. libuv
   * accepts one connection in a turn, so turns are short however long that queue is; it is looked for only while turns find
   * somebody at the door and none has time to spare. In CPU time: a worker that is kept from its work by others would gain
   * nothing by turning clients away.
   */
  #waitMs(knocks: number): number {
    const loops = loopCount();
    const turns = Math.max(1, loops - this.#loops);
    this.#loops = loops;
    const { user, system } = process.threadCpuUsage(this.#cpu);
    this.#cpu = process.threadCpuUsage();
    const { idle, active } = performance.eventLoopUtilization(this.#utilization);
    this.#utilization = performance.eventLoopUtilization();
    const cpuMs = (user + system) / 1000;
    this.acceptsPerTurn = 1;
    if (idle > active / 20 || knocks < turns / 2) return cpuMs / turns;
    const waiting = waitingToBeAccepted(this.#options.listening());
    this.acceptsPerTurn = acceptsFor(waiting, cpuMs / turns);
    return cpuMs / turns + (waiting * cpuMs) / knocks;
  }

  #weigh(): void {
    this.#grown = 0;
    this.#roomBytes = talkers.roomBytes;
    let usage = this.#measured();
    this.#giveBack(usage);
    let share = this.#share(usage);
    const mayCollect =
      globalThis.gc !== undefined && (share > (this.isTight ? fullUntil : tightFrom) || this.#hasLeftOver);
    if (mayCollect && this.#isCollectionDue(usedBytes(usage) + this.#uncounted, share)) {
      // Nobody is sent or turned away for garbage, of which there may be three times what is in use (fleet/member.ts).
      globalThis.gc?.();
      // V8 leaves freeing buffers to its helper, which may have to wait, and counts them as long; a small one first waits for it.
      globalThis.gc?.({ type: 'minor' });
      giveBackFreed();
      usage = this.#measured();
      share = this.#share(usage);
      this.#shedding.collected(usedBytes(usage) + this.#uncounted);
      this.#hasLeftOver = false;
    }
    // What is shed comes free a little later: without a gap between on and off it would go back and forth.
    this.isTight = share > (this.isTight ? tightUntil : tightFrom);
    if (this.isTight) this.#hasLeftOver = true;
    const wasFull = this.isFull;
    this.isFull = share > (wasFull ? fullUntil : fullFrom);
    this.isOut = share > outFrom;
    if (this.isFull && !wasFull) this.#shedding.filled();
    if (this.isFull) this.#shedding.free(this.#excess(usage));
  }

  /** Before anybody is ended or turned away V8 says what is garbage; until then it is not asked where all that has come is held. */
  #isCollectionDue(usedBytes: number, share: number): boolean {
    const shedding = this.#shedding;
    if (shedding.isCollectionDue) return true;
    return share > fullFrom ? shedding.hasGrown(usedBytes) : shedding.hasGarbage(usedBytes);
  }

  /** To see what is resident takes a descriptor: where all are taken, what was seen last stands. */
  #measured(): NodeJS.MemoryUsage {
    try {
      this.#usage = process.memoryUsage();
    } catch {}
    return this.#usage;
  }

  #share(usage: NodeJS.MemoryUsage): number {
    return Math.max(this.#memoryShare(usage), usage.heapUsed / this.#mostHeapBytes);
  }

  /** What handshakes with backends will take is not resident yet, and thousands may begin in one turn of the loop. */
  #memoryShare(usage: NodeJS.MemoryUsage): number {
    const rss = usage.rss + talkers.promisedBytes;
    return heldBytes({ ...usage, rss }, this.#uncounted) / this.#mostBytes;
  }

  /** Bytes that OpenSSL, and Node for it, have without V8's knowing. */
  get #uncounted(): number {
    return this.#secure * secureBytes + talkers.roomBytes;
  }

  /** What was freed counts for nobody here, but for whoever looks at the process. */
  #giveBack(usage: NodeJS.MemoryUsage): void {
    const freedBytes = usage.rss - heldBytes(usage, this.#uncounted);
    if (usage.rss < fullUntil * this.#mostBytes || freedBytes < this.#mostBytes / looksPerFill) return;
    if (performance.now() - this.#givenBackMs < giveBackEveryMs) return;
    giveBackFreed();
    this.#givenBackMs = performance.now();
  }

  #excess(usage: NodeJS.MemoryUsage): number {
    const ofMemory = ((this.#memoryShare(usage) - shedTo) * this.#mostBytes) / bytesPerUsed;
    return Math.max(0, ofMemory, usage.heapUsed - shedTo * this.#mostHeapBytes);
  }
}

/**
 * How many to accept in a turn, so that all who wait come in soon. What fills turns is not always what comes: with one in each, as
 * libuv does by itself, 256 connections stood two seconds at the door of a worker whose clients before them asked all that it could do.
 *
 * @param turnMs CPU time of a turn
 */
export function acceptsFor(waiting: number, turnMs: number): number {
  return Math.max(1, Math.min(mostPerTurn, Math.ceil((waiting * turnMs) / queueMs)));
}

/**
 * What of a worker's memory counts: what is resident, but no more than half again what is in use. What was freed and stays
 * with the allocator is used again before anything else, and load must not be shed for it for ever.
 */
export function heldBytes(usage: NodeJS.MemoryUsage, uncounted: number): number {
  return Math.min(usage.rss, codeBytes + bytesPerUsed * (usedBytes(usage) + uncounted));
}

/** In V8's hands. */
function usedBytes({ heapUsed, external }: NodeJS.MemoryUsage): number {
  return heapUsed + external;
}

const periodMs = 100;
const looksPerFill = 64;
/** In so much CPU time all are accepted who wait. */
const queueMs = 10;
const mostPerTurn = 32;
const giveBackEveryMs = 100;
/** With what a collection has not found yet. */
const bytesPerUsed = 1.5;
/** Node itself: program, libraries, snapshot. */
const codeBytes = 64 << 20;
/**
 * Of what V8 lets its heap be: half of a container or machine and 4 GiB at the most, which a single worker's limit of memory is above.
 * From four fifths of it on V8 may give up, and the process with it, when collecting takes most of its time.
 */
const heapShare = 0.85;
/** What OpenSSL takes for a connection, which V8 does not count (41 KB seen with Node 26, of which V8 counts 4). */
const secureBytes = 37_000;
const tightFrom = 0.8;
const tightUntil = 0.75;
const fullFrom = 0.9;
const fullUntil = 0.86;
const outFrom = 0.95;
/** Somewhat below: what barely suffices has requests turned away for another second. */
const shedTo = 0.82;
