import type { Held } from './held.ts';

/** Longer than what browsers send, cookies and all, in bytes: most servers take no more. */
const longHeadBytes = 8_192;
const headEnd = '\r\n\r\n';

/**
 * Whether a head that is here, or what has come of it, is long enough to wait for its turn. One of 30 KB costs 0.2 ms, as much as
 * twenty small requests: who sends hundreds at once must not keep small ones waiting until the last of them is through.
 */
export function isLongHead(bytes: Buffer, start: number, end: number): boolean {
  return end - start > longHeadBytes && !bytes.subarray(start, start + longHeadBytes).includes(headEnd, 0, 'latin1');
}

/** Whether so much of a head is here that more of it is read in its turn only: a thousand that come without end are read at once otherwise. */
export function isLong({ length }: Held): boolean {
  return length > longHeadBytes;
}

/**
 * Whether a head is to be looked at again now that so many bytes more of it are here: when another line has ended, or dripping clients
 * would cost their square; a long one not before it may be whole or is too long, or those who send fields without end would.
 */
export function isWorthALook({ bytes, length }: Held, added: number, most: number): boolean {
  const before = length - added;
  if (length >= most) return true;
  if (before <= longHeadBytes) return bytes.subarray(before, length).includes(0x0a);
  return bytes.subarray(before - headEnd.length + 1, length).includes(headEnd, 0, 'latin1');
}
