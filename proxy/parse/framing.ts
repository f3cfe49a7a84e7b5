import type { Head } from './head.ts';

/** How a message body ends (RFC 9112 §6.3). */
export const bodyNone = 0;
export const bodyLength = 1;
export const bodyChunked = 2;
export const bodyUntilClose = 3;

/** @returns bytes, or -1 unless it is 1 to 15 digits: everything that fits a double exactly (RFC 9110 §8.6) */
export function parseLength(head: Head, field: number): number {
  const start = head.valueStarts[field] as number;
  const end = head.valueEnds[field] as number;
  if (end === start || end - start > 15) return -1;
  let length = 0;
  for (let i = start; i < end; i++) {
    const digit = head.text.charCodeAt(i) - 48;
    if (digit < 0 || digit > 9) return -1;
    length = length * 10 + digit;
  }
  return length;
}

export function isChunked(head: Head, field: number): boolean {
  return head.value(field).toLowerCase() === 'chunked';
}
