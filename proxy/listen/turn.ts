/** Something that gathers what it writes until the end of the turn. */
export interface Gathering {
  /** Writes what it has gathered. */
  turnEnded(): void;
}

let gathered: Gathering[] = [];
let spare: Gathering[] = [];

/**
 * Calls `turnEnded` when all that the sockets have brought in this turn of the event loop is dealt with: what many streams
 * of one connection say then leaves in one write. One immediate serves all connections of the worker.
 */
export function atTurnEnd(one: Gathering): void {
  if (gathered.push(one) === 1) setImmediate(endTurn);
}

function endTurn(): void {
  const due = gathered;
  gathered = spare;
  for (const one of due) one.turnEnded();
  due.length = 0;
  spare = due;
}
