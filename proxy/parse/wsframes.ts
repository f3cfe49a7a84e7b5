/** Where frames of a WebSocket begin (RFC 6455 §5.2). Their payload is nobody's business here. */
export class FrameTracker {
  /** Bytes of the frame that are still to come, once its length is known. */
  #left = 0;
  /** Bytes of the frame's head that have come; -1: the head is complete. */
  #headAt = 0;
  #headLength = 2;
  #length = 0;

  /** Between two frames: another may be put in here. */
  get isBetween(): boolean {
    return this.#headAt === 0;
  }

  feed(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end) at = this.toBoundary(buffer, at, end);
  }

  /** @returns the offset after the frame that is being read; `end` when it goes on, see `isBetween` */
  toBoundary(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (this.#headAt !== -1) {
      if (at === end) return end;
      this.#takeHead(buffer[at++] as number);
    }
    const taken = Math.min(this.#left, end - at);
    this.#left -= taken;
    if (this.#left === 0) this.#headAt = 0;
    return at + taken;
  }

  #takeHead(byte: number): void {
    const at = this.#headAt++;
    if (at === 0) {
      this.#headLength = 2;
      this.#length = 0;
    } else if (at === 1) {
      const short = byte & 0x7f;
      const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
      if (extended === 0) this.#length = short;
      this.#headLength += extended + (byte >= 0x80 ? 4 : 0);
      this.#extended = extended;
    } else if (at < 2 + this.#extended) {
      this.#length = this.#length * 256 + byte;
    }
    if (at < 1 || this.#headAt < this.#headLength) return;
    this.#headAt = -1;
    this.#left = this.#length;
  }

  /** Bytes of the extended length. */
  #extended = 0;
}

/** An unmasked Close frame, as servers send it: 1001, "going away". */
export const goingAwayFrame: Buffer = Buffer.from([0x88, 0x02, 0x03, 0xe9]);
