/** A connection whose next request has a long head. */
export interface LongHeaded {
  turnCame(): void;
}

/** Longer than what browsers send, cookies and all, in bytes: most servers take no more. */
const longHeadBytes = 8_192;
const mostInATurn = 4;

let waiting: LongHeaded[] = [];

/**
 * Whether a head is here that is long enough to wait for its turn. One of 30 KB costs 0.2 ms, as much as twenty small requests: who
 * sends hundreds at once must not keep small ones waiting until the last of them is through.
 */
export function isLongHead(bytes: Buffer, start: number, end: number): boolean {
  return end - start > longHeadBytes && bytes.subarray(start, end).indexOf('\r\n\r\n', 0, 'latin1') > longHeadBytes;
}

/** Calls `turnCame` in a turn of the event loop when those that came before have had theirs. */
export function awaitTurn(one: LongHeaded): void {
  if (waiting.push(one) === 1) setImmediate(giveTurns);
}

function giveTurns(): void {
  const due = waiting;
  waiting = due.slice(mostInATurn);
  if (waiting.length > 0) setImmediate(giveTurns);
  for (const one of due.slice(0, mostInATurn)) one.turnCame();
}
