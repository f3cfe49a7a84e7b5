import type { Socket } from 'node:net';
import { latin1 } from '../parse/latin1.ts';

/**
 * How bytes get from one socket to the other.
 *
 * Every plain socket of a worker reads into one shared buffer (net's `onread`): a small GET costs 12.9 CPU-µs with it on
 * both sides against 17 with `data` events, which allocate 64 KiB per read (measured side by side on Node 26; writing to
 * the handle past net.Socket gained nothing more). So what a write leaves unsent must never point into that buffer:
 * short pieces go as latin1 strings, which the kernel or the stream copies at once; long ones are copied into a chunk.
 * A body that needs more than one read gets a chunk of its own to read into, and from then on nothing is copied:
 * while a write of such a chunk is unfinished, its reader is paused.
 */
export const chunkBytes = 69_632;

/** Up to here a copy as string is cheaper than a buffer write. Also the sockets' high-water mark: longer writes report drain. */
export const shortBytes = 16_384;

/** Read buffers of all connections: [0] for clients, [1] for backends. They never meet: a read of one may run while the other is parsed. */
export const sharedClientBuffer = Buffer.allocUnsafeSlow(chunkBytes);
export const sharedUpstreamBuffer = Buffer.allocUnsafeSlow(chunkBytes);

const spareChunks: Buffer[] = [];
/** 4 MiB at most are kept for the next body. */
const mostSpareChunks = 60;

export function takeChunk(): Buffer {
  return spareChunks.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
}

export function giveChunk(chunk: Buffer): void {
  if (spareChunks.length < mostSpareChunks) spareChunks.push(chunk);
}

/** @returns whether bytes wait in the socket beyond what it should hold; it emits `drain` when they are gone */
export function isFull(socket: Socket): boolean {
  return socket.writableNeedDrain && socket.writableLength > 0;
}

/**
 * Writes `prefix`, the bytes and `suffix` with as few system calls as possible.
 *
 * @param isLent false: the range lies in a shared buffer. true: nobody writes into it while this socket is full.
 */
export function relay(
  socket: Socket,
  prefix: string,
  buffer: Buffer,
  start: number,
  end: number,
  suffix: string,
  isLent: boolean,
): void {
  const length = end - start;
  if (length <= shortBytes) {
    const text = length === 0 ? prefix + suffix : prefix + latin1(buffer, start, end) + suffix;
    socket.write(text, 'latin1');
    return;
  }
  // A TLS socket is full at 64 KiB and not at `shortBytes`, whatever it is told: behind bytes that wait, a lent range would
  // wait in a socket that does not count as full, and its reader would overwrite it. Alone, it is encrypted at once.
  if (isLent && socket.writableLength === 0) {
    if (prefix === '' && suffix === '') {
      socket.write(buffer.subarray(start, end));
      return;
    }
    socket.cork();
    if (prefix !== '') socket.write(prefix, 'latin1');
    socket.write(buffer.subarray(start, end));
    if (suffix !== '') socket.write(suffix, 'latin1');
    socket.uncork();
    return;
  }
  const total = prefix.length + length + suffix.length;
  const chunk = total <= chunkBytes ? takeChunk() : Buffer.allocUnsafeSlow(total);
  let at = prefix === '' ? 0 : chunk.write(prefix, 0, 'latin1');
  at += buffer.copy(chunk, at, start, end);
  if (suffix !== '') at += chunk.write(suffix, at, 'latin1');
  socket.write(chunk.subarray(0, at));
  // Taken by the kernel at once, as nearly always; otherwise the socket keeps it and the collector frees it.
  if (socket.writableLength === 0 && chunk.length === chunkBytes) giveChunk(chunk);
}
