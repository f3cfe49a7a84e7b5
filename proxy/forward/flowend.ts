import { shortBytes } from '../carry/handlelink.ts';
import type { Link, Receiver } from '../carry/link.ts';
import { readClock } from '../listen/clock.ts';
import { giveChunk, relay, takeChunk } from './relay.ts';

/** What an end tells its flow. */
export interface EndedFlow {
  moved(from: FlowEnd, bytes: number): void;
  endClosed(end: FlowEnd): void;
  /** What was read is kept, because the other end does not take it. */
  stalled(): void;
  /** Whether an end may have room of its own to read into. */
  mayTakeChunk(): boolean;
}

/**
 * One end of a TCP flow: what it reads goes out at the other end, with back-pressure, and so does its FIN. Reads go into a
 * shared buffer until much comes at once; then into a chunk of its own, which is not copied (relay.ts).
 */
export class FlowEnd implements Receiver {
  chunk: Buffer | null = null;
  /** The peer sent FIN. */
  hasEnded = false;
  isClosed = false;
  // Set right after construction: events come in a later turn of the loop.
  link!: Link;
  other: FlowEnd | null = null;
  readonly #flow: EndedFlow;

  constructor(flow: EndedFlow) {
    this.#flow = flow;
  }

  receive(buffer: Buffer, start: number, end: number): void {
    readClock();
    const { other } = this;
    if (other === null) return;
    this.#flow.moved(this, end - start);
    relay(other.link, '', buffer, start, end, '', buffer === this.chunk);
    if (other.link.isFull) {
      this.link.pause();
      this.#flow.stalled();
    }
    // Only here, where the buffer of the next read is about to be asked for, may it change.
    const isMuch = end - start > shortBytes;
    // One whose other end takes nothing from the start holds what was read, and no room for more.
    if (isMuch && this.chunk === null && !other.link.isFull) {
      if (this.#flow.mayTakeChunk()) this.chunk = takeChunk();
    } else if (!isMuch && this.chunk !== null) this.#dropChunk(other);
  }

  /** What was read and is not sent lies in the chunk, or in a copy. */
  get heldBytes(): number {
    return Math.max(this.chunk?.length ?? 0, this.other?.link.unsentBytes ?? 0);
  }

  #dropChunk(other: FlowEnd): void {
    // An unfinished write may still point into it: then the collector has it.
    if (this.chunk !== null && !other.link.holdsLent) giveChunk(this.chunk);
    this.chunk = null;
  }

  /** FIN goes on behind what was sent before; the other direction stays open. */
  ended(): void {
    readClock();
    this.hasEnded = true;
    this.#flow.moved(this, 0);
    this.other?.link.end();
  }

  emptied(): void {
    readClock();
    this.#flow.moved(this, 0);
    this.other?.link.resume();
  }

  closed(): void {
    readClock();
    this.isClosed = true;
    this.chunk = null;
    this.#flow.endClosed(this);
  }

  /** Ends it so that what was sent cannot be taken for a whole. */
  cutOff(): void {
    this.chunk = null;
    this.link.reset();
  }
}
