/** A connection whose next request has a long head. */
export interface LongHeaded {
  turnCame(): void;
}

/** Longer than what browsers send, cookies and all, in bytes: most servers take no more. */
const longHeadBytes = 8_192;
/** They have a quarter of the time: a turn takes one for each of these, ms, */
const turnMsForOne = 0.8;
/** and one at least, but no more than so many, however long the turn before it was. */
const mostInATurn = 4;

let waiting: LongHeaded[] = [];
let givenAtMs = 0;

/**
 * Whether a head is here that is long enough to wait for its turn. One of 30 KB costs 0.2 ms, as much as twenty small requests: who
 * sends hundreds at once must not keep small ones waiting until the last of them is through.
 */
export function isLongHead(bytes: Buffer, start: number, end: number): boolean {
  return end - start > longHeadBytes && bytes.subarray(start, end).indexOf('\r\n\r\n', 0, 'latin1') > longHeadBytes;
}

/** Calls `turnCame` in a turn of the event loop when those that came before have had theirs. */
export function awaitTurn(one: LongHeaded): void {
  if (waiting.push(one) > 1) return;
  givenAtMs = performance.now();
  setImmediate(giveTurns);
}

/**
 * A client that opens a connection waits for several turns. Four long heads in each were 0.8 ms; one, and clients of a flood of them
 * wait 12 ms at p99 for 14 to 20. Where turns are long by themselves, one would be left waiting for as long as that lasts.
 */
function giveTurns(): void {
  const nowMs = performance.now();
  const count = Math.max(1, Math.min(mostInATurn, Math.floor((nowMs - givenAtMs) / turnMsForOne)));
  givenAtMs = nowMs;
  const due = waiting;
  waiting = due.slice(count);
  if (waiting.length > 0) setImmediate(giveTurns);
  for (const one of due.slice(0, count)) one.turnCame();
}
