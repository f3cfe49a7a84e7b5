import { clock } from './clock.ts';
import type { Limits } from './limits.ts';

/**
 * Until when the rest of a request body is waited for, now that some of it has come. Each byte buys a little time, up to that
 * of a silence: otherwise one byte a minute would hold a backend's connection for ever.
 *
 * @param dueMs until when it was waited for so far
 */
export function bodyDueMs({ bodyIdleMs, bodyBytesPerSecond }: Limits, dueMs: number, bytes: number): number {
  if (bodyBytesPerSecond === 0) return clock.nowMs + bodyIdleMs;
  const leftMs = Math.max(0, dueMs - clock.nowMs);
  return clock.nowMs + Math.min(bodyIdleMs, leftMs + (bytes * 1000) / bodyBytesPerSecond);
}
