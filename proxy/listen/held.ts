import { chunkBytes } from '../forward/relay.ts';

/**
 * Bytes of a client that wait: the beginning of a head, or what came before the answer to the request before it. More than a few
 * are held in rooms that are used again: buffers of that size made for each of thousands of long heads in a second have V8 collect
 * everything several times a second.
 */
export class Held {
  length = 0;
  #room: Buffer = nothing;

  /** A copy of the range, behind what is held. */
  add(buffer: Buffer, start: number, end: number): this {
    const length = this.length + end - start;
    if (length > this.#room.length) {
      const room = takeRoom(length);
      this.#room.copy(room, 0, 0, this.length);
      giveRoom(this.#room);
      this.#room = room;
    }
    buffer.copy(this.#room, this.length, start, end);
    this.length = length;
    return this;
  }

  /** What is held, from offset 0 to `length`. */
  get bytes(): Buffer {
    return this.#room;
  }

  /** Nothing refers to the bytes any more. */
  release(): void {
    giveRoom(this.#room);
    this.#room = nothing;
    this.length = 0;
  }
}

const nothing = Buffer.alloc(0);
/** Who sends little should not take a room. */
const fewBytes = 4_096;

/** A client that holds so much is not read any further, in bytes: what one more read brings has room beside it. */
export const mostHeldBytes: number = chunkBytes;
const roomBytes = 2 * chunkBytes;
const spareRooms: Buffer[] = [];
const mostSpareRooms = 64;

function takeRoom(length: number): Buffer {
  // Not out of Buffer's pool: a head that comes slowly would keep a slab of 64 KiB alive.
  if (length <= fewBytes) return Buffer.allocUnsafeSlow(length);
  // Longer than a room is a head only where the limit of heads was raised.
  return length <= roomBytes ? (spareRooms.pop() ?? Buffer.allocUnsafeSlow(roomBytes)) : Buffer.allocUnsafeSlow(length);
}

function giveRoom(room: Buffer): void {
  if (room.length === roomBytes && spareRooms.length < mostSpareRooms) spareRooms.push(room);
}
