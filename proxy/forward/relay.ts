import { shortBytes } from '../carry/handlelink.ts';
import type { Link } from '../carry/link.ts';
import { writeLatin1 } from '../parse/latin1.ts';

/**
 * How bytes get from one connection to the other.
 *
 * Every connection of a worker reads into a shared buffer: a small GET costs 12.9 CPU-µs with it on both sides against 17
 * with `data` events of node:net, which allocate 64 KiB per read (measured side by side on Node 26). So what a write leaves
 * unsent must never point into that buffer: what is read there goes out from a copy, in a chunk or, where it is small, in a
 * slip. Both are used again as soon as the kernel has what is in them, which is nearly always at once. Joining head and body
 * as strings instead costs as much at 1 KiB, a quarter more at 8 KiB and half as much again at 16 KiB, and leaves all of it
 * to the collector.
 *
 * A body that needs more than one read gets a chunk of its own to read into, and from then on nothing is copied:
 * while a write of such a chunk is unfinished, its reader is paused. The length of a chunk was tried: of 1 MiB bodies to 64
 * connections 68 KiB cost 1.3 to 1.6 times what HAProxy takes, 48 KiB 1.2 and 34 KiB 0.7 to 0.9; of 64 KiB bodies 0.75, 0.93
 * and 0.89. A third of that time is waking the peers, which shorter and steadier pieces leave asleep less often.
 */
export const chunkBytes = 34_816;

/** Read buffers of all connections, one for each side: a read of one side may come while what the other has read is parsed. */
export const sharedClientBuffer = Buffer.allocUnsafeSlow(chunkBytes);
export const sharedUpstreamBuffer = Buffer.allocUnsafeSlow(chunkBytes);

const spareChunks: Buffer[] = [];
/** 4 MiB at most are kept for the next body. */
const mostSpareChunks = 120;

/** What waits for a client that does not read keeps its buffer: for a small answer that must not be a whole chunk. */
const slipBytes = 4_096;
const spareSlips: Buffer[] = [];
const mostSpareSlips = 64;

export function takeChunk(): Buffer {
  return spareChunks.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
}

export function giveChunk(chunk: Buffer): void {
  if (spareChunks.length < mostSpareChunks) spareChunks.push(chunk);
}

/**
 * Writes `prefix`, the bytes and `suffix` with as few system calls as possible.
 *
 * @param isLent false: the range lies in a shared buffer. true: nobody writes into it while this link is full.
 */
export function relay(
  link: Link,
  prefix: string,
  buffer: Buffer,
  start: number,
  end: number,
  suffix: string,
  isLent: boolean,
): void {
  const length = end - start;
  if (isLent && length > shortBytes) {
    link.writeLent(prefix, buffer.subarray(start, end), suffix);
    return;
  }
  const isFirst = link.unsentBytes === 0;
  if (length === 0) {
    link.writeText(prefix + suffix);
    return;
  }
  const total = prefix.length + length + suffix.length;
  const copy = isFirst ? takeFor(total) : Buffer.allocUnsafeSlow(total);
  let at = prefix === '' ? 0 : writeLatin1(copy, prefix, 0);
  at += buffer.copy(copy, at, start, end);
  if (suffix !== '') at += writeLatin1(copy, suffix, at);
  link.write(copy.subarray(0, at));
  // Taken by the kernel, or encrypted; otherwise it is held until it is sent, and then the collector has it.
  if (isFirst && (link.unsentBytes === 0 || link.copies)) giveBack(copy);
}

function takeFor(bytes: number): Buffer {
  if (bytes <= slipBytes) return spareSlips.pop() ?? Buffer.allocUnsafeSlow(slipBytes);
  return bytes <= chunkBytes ? takeChunk() : Buffer.allocUnsafeSlow(bytes);
}

function giveBack(copy: Buffer): void {
  if (copy.length === chunkBytes) giveChunk(copy);
  else if (copy.length === slipBytes && spareSlips.length < mostSpareSlips) spareSlips.push(copy);
}
