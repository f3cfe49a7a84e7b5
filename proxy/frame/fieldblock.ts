import { joined, unpooled } from '../parse/unpooled.ts';

/** Nobody needs more frames for what a field section may hold; empty ones are free to send and not to take (CVE-2024-27316). */
const mostContinuations = 8;

/** A field block that came in HEADERS without END_HEADERS and goes on in CONTINUATION frames (RFC 9113 §4.3). */
export class FieldBlock {
  /** 0: none is open. */
  streamId = 0;
  endsStream = false;
  dependsOnItself = false;
  bytes: Buffer = nothing;
  #continuations = 0;

  begin(streamId: number, endsStream: boolean, dependsOnItself: boolean, first: Buffer): void {
    this.streamId = streamId;
    this.endsStream = endsStream;
    this.dependsOnItself = dependsOnItself;
    this.bytes = unpooled(first, 0, first.length);
    this.#continuations = 0;
  }

  /** @param most bytes of all. @returns false when it is too much */
  add(piece: Buffer, most: number): boolean {
    if (++this.#continuations > mostContinuations || this.bytes.length + piece.length > most) return false;
    this.bytes = joined(this.bytes, piece, 0, piece.length);
    return true;
  }

  /** @returns its bytes */
  close(): Buffer {
    const { bytes } = this;
    this.streamId = 0;
    this.bytes = nothing;
    return bytes;
  }
}

const nothing = Buffer.alloc(0);
