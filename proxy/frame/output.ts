import { frameHeadBytes } from './codes.ts';

/** Where a sender stops: one write of this size fills any socket. */
const fullBytes = 65_536;
/** A frame that was begun below `fullBytes` fits, and so do most control frames behind it. */
const bufferBytes = fullBytes + 20_480;

const nothing = Buffer.alloc(0);
const spares: Buffer[] = [];
/** 2.6 MiB at most are kept. */
const mostSpares = 32;

/** Frames of one connection that wait to be written in one piece. Holds a buffer only while there are any. */
export class Output {
  bytes: Buffer = nothing;
  length = 0;

  get isFull(): boolean {
    return this.length >= fullBytes;
  }

  /** Makes room for `count` bytes behind what there is. */
  reserve(count: number): void {
    const needed = this.length + count;
    if (needed <= this.bytes.length) return;
    const bytes =
      needed <= bufferBytes
        ? (spares.pop() ?? Buffer.allocUnsafeSlow(bufferBytes))
        : Buffer.allocUnsafeSlow(needed * 2);
    this.bytes.copy(bytes, 0, 0, this.length);
    this.#keep();
    this.bytes = bytes;
  }

  /** Writes the head of a frame, for whose payload there is room. */
  frame(length: number, type: number, flags: number, streamId: number): void {
    this.reserve(frameHeadBytes + length);
    this.length = writeFrameHead(this.bytes, this.length, length, type, flags, streamId);
  }

  word(value: number): void {
    this.length = writeWord(this.bytes, this.length, value);
  }

  /** What waits. It is to be followed by release() or lend(). */
  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  /** The bytes are written or copied: their buffer can be used again. */
  release(): void {
    this.#keep();
    this.bytes = nothing;
    this.length = 0;
  }

  /** Somebody still reads the bytes. */
  lend(): void {
    this.bytes = nothing;
    this.length = 0;
  }

  #keep(): void {
    if (this.bytes.length === bufferBytes && spares.length < mostSpares) spares.push(this.bytes);
  }
}

/** @returns the offset after it */
export function writeFrameHead(
  bytes: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  return writeWord(bytes, at + 5, streamId);
}

function writeWord(bytes: Buffer, at: number, value: number): number {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
  return at + 4;
}
