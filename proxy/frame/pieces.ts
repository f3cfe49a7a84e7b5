import { unpooled } from '../parse/unpooled.ts';

/**
 * Body bytes of a stream that wait, in order. Small pieces share a room: a buffer for each takes 120 bytes more than what is in
 * it, and a peer may send every byte in a frame of its own.
 */
export class Pieces {
  readonly #pieces: Buffer[] = [];
  /** The last piece lies in it, with nothing behind, unless it is a long one. */
  #room = nothing;
  #used = 0;

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Bytes of all. */
  get length(): number {
    let length = 0;
    for (const piece of this.#pieces) length += piece.length;
    return length;
  }

  /** A copy of the range, behind what is held. */
  add(buffer: Buffer, start: number, end: number): void {
    const count = end - start;
    if (count >= roomBytes) {
      this.#pieces.push(unpooled(buffer, start, end));
      return;
    }
    const last = this.#pieces.at(-1);
    const isBehindLast =
      last !== undefined && last.buffer === this.#room.buffer && this.#used + count <= this.#room.length;
    if (!isBehindLast) {
      // Most that wait are one short piece: an answer that says little.
      this.#room = Buffer.allocUnsafeSlow(this.isEmpty ? Math.max(count, fewBytes) : roomBytes);
      this.#used = 0;
    }
    const from = isBehindLast ? last.byteOffset : 0;
    this.#used += buffer.copy(this.#room, this.#used, start, end);
    const piece = this.#room.subarray(from, this.#used);
    if (isBehindLast) this.#pieces[this.#pieces.length - 1] = piece;
    else this.#pieces.push(piece);
  }

  /** It may grow, at its end. */
  get first(): Buffer | undefined {
    return this.#pieces[0];
  }

  /** The first piece; nobody writes into it any more. */
  shift(): Buffer | undefined {
    return this.#pieces.shift();
  }

  clear(): void {
    this.#pieces.length = 0;
    this.#room = nothing;
  }
}

const nothing = Buffer.alloc(0);
const roomBytes = 4_096;
const fewBytes = 256;
