import type { Source } from './sources.ts';

/** What each has to go on with whose ClientHello is here, by where they come from; whose turn is next comes first. */
const waiting = new Map<Source, (() => void)[]>();

/**
 * What comes after a ClientHello costs 0.2 to 0.4 ms, as much as ten small requests, and a hundred of them may come in one turn of the
 * event loop. Each turn has some, of one source after the other, so that neither requests nor clients of others wait for all that one
 * address has sent.
 *
 * @param goOn called at the end of this turn, or of one to come
 */
export function awaitHelloTurn(source: Source, goOn: () => void): void {
  if (waiting.size === 0) setImmediate(giveTurns);
  const theirs = waiting.get(source);
  if (theirs === undefined) waiting.set(source, [goOn]);
  else theirs.push(goOn);
}

function giveTurns(): void {
  const endMs = performance.now() + mostMs;
  for (const [source, theirs] of waiting) {
    const goOn = theirs.shift();
    waiting.delete(source);
    if (theirs.length > 0) waiting.set(source, theirs);
    goOn?.();
    if (performance.now() >= endMs) break;
  }
  if (waiting.size > 0) setImmediate(giveTurns);
}

/** Of a turn; the last one begins within it. */
const mostMs = 1;
