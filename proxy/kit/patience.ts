/**
 * Tells when no answer has come for so long. A timer that goes off late tells that nobody listened meanwhile, as while a large table
 * is taken or where there is no core: the answer may be there and is not read. So it gets as much more.
 *
 * @returns to be called when the answer has come
 */
export function silentAfter(timeoutMs: number, onSilence: () => void): () => void {
  const dueMs = performance.now() + timeoutMs;
  let timer = setTimeout(
    () => {
      // Timers count whole milliseconds, and may go off a part of one too early.
      const lateMs = Math.max(0, performance.now() - dueMs);
      timer = setTimeout(onSilence, Math.min(lateMs, timeoutMs));
    },
    Math.min(timeoutMs, mostTimerMs),
  );
  return () => clearTimeout(timer);
}

/** A timer that is to wait longer than this goes off at once. */
const mostTimerMs = 2 ** 31 - 1;
