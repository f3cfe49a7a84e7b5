import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { writeLatin1 } from '../parse/latin1.ts';

/**
 * How bytes get from one socket to the other.
 *
 * Every plain socket of a worker reads into one shared buffer (net's `onread`): a small GET costs 12.9 CPU-µs with it on
 * both sides against 17 with `data` events, which allocate 64 KiB per read (measured side by side on Node 26; writing to
 * the handle past net.Socket gained nothing more). So what a write leaves unsent must never point into that buffer: what is
 * read there goes out from a copy, in a chunk or, where it is small, in a slip. Both are used again as soon as the kernel has
 * what is in them, which is nearly always at once. Joining head and body as strings instead costs as much at 1 KiB, a quarter
 * more at 8 KiB and half as much again at 16 KiB, and leaves all of it to the collector.
 *
 * A body that needs more than one read gets a chunk of its own to read into, and from then on nothing is copied:
 * while a write of such a chunk is unfinished, its reader is paused.
 */
export const chunkBytes = 69_632;

/** The sockets' high-water mark: longer writes report drain. What is not longer is copied, even where it is lent. */
export const shortBytes = 16_384;

/** Read buffers of all connections: [0] for clients, [1] for backends. They never meet: a read of one may run while the other is parsed. */
export const sharedClientBuffer = Buffer.allocUnsafeSlow(chunkBytes);
export const sharedUpstreamBuffer = Buffer.allocUnsafeSlow(chunkBytes);

const spareChunks: Buffer[] = [];
/** 4 MiB at most are kept for the next body. */
const mostSpareChunks = 60;

/** A client that does not read holds what waits for it: not 68 KiB for each small answer. */
const slipBytes = 4_096;
const spareSlips: Buffer[] = [];
const mostSpareSlips = 64;

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
  // A TLS socket is full at 64 KiB and not at `shortBytes`, whatever it is told: behind bytes that wait, a lent range would
  // wait in a socket that does not count as full, and its reader would overwrite it. Alone, it is encrypted at once.
  const isFirst = socket.writableLength === 0;
  if (isLent && isFirst && length > shortBytes) {
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
  const copy = isFirst ? takeFor(total) : Buffer.allocUnsafeSlow(total);
  let at = prefix === '' ? 0 : writeLatin1(copy, prefix, 0);
  if (length > 0) at += buffer.copy(copy, at, start, end);
  if (suffix !== '') at += writeLatin1(copy, suffix, at);
  socket.write(copy.subarray(0, at));
  // Taken by the kernel, or encrypted; otherwise the socket keeps it and the collector frees it.
  if (isFirst && (socket.writableLength === 0 || (socket as TLSSocket).encrypted)) giveBack(copy);
}

function takeFor(bytes: number): Buffer {
  if (bytes <= slipBytes) return spareSlips.pop() ?? Buffer.allocUnsafeSlow(slipBytes);
  return bytes <= chunkBytes ? takeChunk() : Buffer.allocUnsafeSlow(bytes);
}

function giveBack(copy: Buffer): void {
  if (copy.length === chunkBytes) giveChunk(copy);
  else if (copy.length === slipBytes && spareSlips.length < mostSpareSlips) spareSlips.push(copy);
}
