import { preface } from '../frame/codes.ts';
import type { SocketConnection } from './connection.ts';

/** Who takes a connection over that speaks HTTP/2 from its first byte on (RFC 9113 §3.3: prior knowledge). */
export interface H2Taker {
  /** @param bytes of the first read, or of several joined */
  spokeH2(before: SocketConnection, bytes: Buffer, start: number, end: number): void;
}

/** Asked of a head that is refused, so that HTTP/1 pays nothing; then `PRI *` at least is there, and no method is called so. */
export function beginsH2(bytes: Buffer, start: number, end: number): boolean {
  const length = Math.min(end - start, preface.length);
  return bytes.compare(preface, 0, length, start, start + length) === 0;
}
