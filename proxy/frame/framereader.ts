import { frameFlags, frameHeadBytes, frameTypes, mostFrameBytes } from './codes.ts';

/** Who takes the frames of a connection. */
export interface FrameSink {
  /** Nothing more is to be read. */
  readonly isOver: boolean;
  /** A whole frame other than DATA. */
  frame(type: number, flags: number, streamId: number, bytes: Buffer, start: number, end: number): void;
  /** The head of a DATA frame. @param length of its payload, padding included */
  dataBegins(flags: number, streamId: number, length: number): void;
  /** Bytes of its payload without padding, as they come. @param isLast the frame's payload ends with them */
  dataBytes(bytes: Buffer, start: number, end: number, isLast: boolean): void;
  /** Padding as long as its frame or longer (RFC 9113 §6.1). */
  badPadding(): void;
  /** Longer than was allowed (RFC 9113 §4.2). */
  tooLong(): void;
}

/**
 * Cuts bytes into frames (RFC 9113 §4.1). DATA is passed on as it comes; other frames, which are short, when they are
 * whole: only then bytes of a read are kept.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  /** A frame of which a part has come. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  #isInData = false;
  /** The byte that tells the length of the padding is still to come. */
  #needsPadLength = false;
  #dataLeft = 0;
  #padLeft = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** What is kept until a frame is whole. */
  get heldBytes(): number {
    return this.#held?.length ?? 0;
  }

  /** Nothing more will come. */
  release(): void {
    this.#held = null;
  }

  read(bytes: Buffer, start: number, end: number): void {
    const sink = this.#sink;
    let at = start;
    while (at < end && !sink.isOver) {
      if (this.#isInData) at = this.#readData(bytes, at, end);
      else if (this.#held !== null) at = this.#complete(this.#held, bytes, at, end);
      else if (end - at < frameHeadBytes) at = this.#hold(bytes, at, end, frameHeadBytes);
      else at = this.#readFrame(bytes, at, end);
    }
  }

  /** @returns the offset after what was used */
  #readFrame(bytes: Buffer, at: number, end: number): number {
    const length = lengthAt(bytes, at);
    if (length > mostFrameBytes) {
      this.#sink.tooLong();
      return end;
    }
    const type = bytes[at + 3] as number;
    const from = at + frameHeadBytes;
    const to = from + length;
    if (type !== frameTypes.data && to > end) return this.#hold(bytes, at, end, frameHeadBytes + length);
    const flags = bytes[at + 4] as number;
    const streamId =
      (((bytes[at + 5] as number) & 0x7f) << 24) |
      ((bytes[at + 6] as number) << 16) |
      ((bytes[at + 7] as number) << 8) |
      (bytes[at + 8] as number);
    if (type !== frameTypes.data) {
      this.#sink.frame(type, flags, streamId, bytes, from, to);
      return to;
    }
    this.#beginData(flags, streamId, length);
    return from;
  }

  #beginData(flags: number, streamId: number, length: number): void {
    const isPadded = (flags & frameFlags.padded) !== 0;
    if (isPadded && length === 0) {
      this.#sink.badPadding();
      return;
    }
    this.#isInData = true;
    this.#needsPadLength = isPadded;
    this.#dataLeft = isPadded ? length - 1 : length;
    this.#padLeft = 0;
    this.#sink.dataBegins(flags, streamId, length);
    if (length > 0) return;
    this.#isInData = false;
    this.#sink.dataBytes(nothing, 0, 0, true);
  }

  #readData(bytes: Buffer, start: number, end: number): number {
    let at = start;
    if (this.#needsPadLength) {
      this.#needsPadLength = false;
      this.#padLeft = bytes[at++] as number;
      if (this.#padLeft > this.#dataLeft) {
        this.#sink.badPadding();
        return end;
      }
      this.#dataLeft -= this.#padLeft;
      if (this.#dataLeft === 0) this.#sink.dataBytes(bytes, at, at, true);
    } else if (this.#dataLeft > 0) {
      const to = Math.min(end, at + this.#dataLeft);
      this.#dataLeft -= to - at;
      this.#sink.dataBytes(bytes, at, to, this.#dataLeft === 0);
      at = to;
    } else {
      const to = Math.min(end, at + this.#padLeft);
      this.#padLeft -= to - at;
      at = to;
    }
    if (this.#dataLeft === 0 && this.#padLeft === 0) this.#isInData = false;
    return at;
  }

  #hold(bytes: Buffer, at: number, end: number, needed: number): number {
    const held = Buffer.allocUnsafeSlow(needed);
    this.#heldBytes = bytes.copy(held, 0, at, end);
    this.#held = held;
    return end;
  }

  /** Adds to what is held, and takes the frame when it is whole. @returns the offset after what was used */
  #complete(held: Buffer, bytes: Buffer, start: number, end: number): number {
    const copied = bytes.copy(held, this.#heldBytes, start, end);
    this.#heldBytes += copied;
    if (this.#heldBytes < held.length) return end;
    this.#held = null;
    // With its head alone it is not known yet how long it is: it is held again, unless it is DATA or ends here.
    this.#readFrame(held, 0, held.length);
    return start + copied;
  }
}

const nothing = Buffer.alloc(0);

function lengthAt(bytes: Buffer, at: number): number {
  return ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
}
