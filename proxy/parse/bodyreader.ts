import { ChunkedReader } from './chunked.ts';
import { bodyChunked, bodyLength, bodyNone, bodyUntilClose } from './framing.ts';
import type { Head } from './head.ts';
import { noTrailers } from './head.ts';

/** Finds the end of a message body, whatever frames it, and takes chunk framing off. One per connection, used again. */
export class BodyReader {
  /** Where the last feed left its payload, in the buffer that was fed. */
  payloadStart = 0;
  payloadEnd = 0;
  isDone = true;
  #kind = bodyNone;
  #left = 0;
  #chunked: ChunkedReader | null = null;

  /** @param length bytes, where the kind has one */
  begin(kind: number, length: number): void {
    this.#kind = kind;
    this.#left = length;
    this.isDone = kind === bodyNone || (kind === bodyLength && length === 0);
    if (kind !== bodyChunked) return;
    this.#chunked ??= new ChunkedReader();
    this.#chunked.restart();
  }

  /** @returns whether more than `bytes` are still to come, as far as is known */
  expectsMoreThan(bytes: number): boolean {
    return !this.isDone && (this.#kind !== bodyLength || this.#left > bytes);
  }

  /** Fields after a chunked body, once isDone; the caller's. */
  takeTrailers(): Head {
    return this.#kind === bodyChunked ? (this.#chunked as ChunkedReader).takeTrailers() : noTrailers;
  }

  /** Bytes of fields after the body, whose end has not come. */
  get heldBytes(): number {
    return this.#kind === bodyChunked ? (this.#chunked as ChunkedReader).heldBytes : 0;
  }

  /** @returns the offset after what belongs to the body, or -1 when it is malformed */
  feed(buffer: Buffer, start: number, end: number): number {
    if (this.#kind === bodyChunked) {
      const reader = this.#chunked as ChunkedReader;
      const after = reader.feed(buffer, start, end);
      this.payloadStart = reader.payloadStart;
      this.payloadEnd = reader.payloadEnd;
      this.isDone = reader.isDone;
      return after;
    }
    const after = this.#kind === bodyUntilClose ? end : Math.min(end, start + this.#left);
    this.#left -= after - start;
    this.payloadStart = start;
    this.payloadEnd = after;
    if (this.#kind === bodyLength) this.isDone = this.#left === 0;
    return after;
  }
}
