/** A connection whose next request has a long head, or whose body has broken a rule. */
export interface Patient {
  /** Nothing more of it is read until then. */
  pause(): void;
  turnCame(): void;
}

/** They have a quarter of the time: a turn takes one for each of these, ms, */
const turnMsForOne = 0.8;
/** and one at least, but no more than so many, however long the turn before it was. */
const mostInATurn = 4;

let waiting: Patient[] = [];
let givenAtMs = 0;

/** Calls `turnCame` in a turn of the event loop when those that came before have had theirs. */
export function awaitTurn(one: Patient): void {
  one.pause();
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
