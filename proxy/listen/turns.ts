/** What each waits for, by who it is that makes it wait; whose turn is next comes first. */
const waiting = new Map<string, (() => void)[]>();
let givenAtMs = 0;
/** The next ones are given: whoever waits again in his turn, when nobody else does, must not have them given twice from then on. */
let isDue = false;

/**
 * For what takes as long as ten or twenty small requests, or what hundreds send at once: what follows a ClientHello (0.2 to 0.4 ms), a
 * long head (30 KB of it, 0.2 ms), reading more of one, refusing a broken body. Each turn of the event loop has some of it, of one
 * source after the other, so that neither requests nor what others have is kept waiting by all that one address has sent.
 *
 * @param source see `sourceKeyOf`
 * @param turnCame called once, at the end of this turn or of one to come
 */
export function awaitTurn(source: string, turnCame: () => void): void {
  if (!isDue) {
    isDue = true;
    givenAtMs = performance.now();
    setImmediate(giveTurns);
  }
  const theirs = waiting.get(source);
  if (theirs === undefined) waiting.set(source, [turnCame]);
  else theirs.push(turnCame);
}

/**
 * They have a quarter of the time. A client that opens a connection waits for several turns: with 0.8 ms in each of them, those of a
 * flood of long heads wait 14 to 20 ms at p99, with one head 12. Where turns are long by themselves, one would be left waiting for as
 * long as that lasts.
 */
function giveTurns(): void {
  const nowMs = performance.now();
  const endMs = nowMs + Math.min(mostMs, (nowMs - givenAtMs) / 4);
  givenAtMs = nowMs;
  let count = 0;
  for (const [source, theirs] of waiting) {
    const turnCame = theirs.shift();
    waiting.delete(source);
    if (theirs.length > 0) waiting.set(source, theirs);
    turnCame?.();
    if (++count === most || performance.now() >= endMs) break;
  }
  isDue = waiting.size > 0;
  if (isDue) setImmediate(giveTurns);
}

/** Of a turn, however long the turn before it was; the last one begins within it. */
const mostMs = 1;
/** Who is read on costs nothing here, and up to 30 µs in the next turn. */
const most = 16;
