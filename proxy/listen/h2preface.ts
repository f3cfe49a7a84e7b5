import { preface } from '../frame/codes.ts';
import type { SocketConnection } from './connection.ts';

/** Who takes a connection over that speaks HTTP/2 from its first byte on (RFC 9113 §3.3: prior knowledge). */
export interface H2Taker {
  /**
   * @param before as it was held until now, with what it was told: that it is to end, and when
   * @param bytes of the first read, or of several joined
   */
  spokeH2(before: Before, bytes: Buffer, start: number, end: number): void;
}

interface Before extends SocketConnection {
  readonly isLeaving: boolean;
  readonly leavesAtMs: number;
}

/**
 * Whether a client speaks HTTP/2 from its first byte on. Only asked of a head that the parser of HTTP/1 has refused, so that requests
 * of HTTP/1 pay nothing for it. As many bytes as have come are compared: before it refuses the preface, the parser has seen `PRI *`.
 */
export function beginsH2(bytes: Buffer, start: number, end: number): boolean {
  const length = Math.min(end - start, preface.length);
  return bytes.compare(preface, 0, length, start, start + length) === 0;
}
