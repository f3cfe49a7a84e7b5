import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives memory back that a large plan took to come in: as much garbage as it has rows. V8 would do so when it wants to
 * allocate again, and an agent, which stands on every node, hardly ever does. Takes a few hundred milliseconds.
 */
export function collectGarbage(): void {
  collect ??= exposed();
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void;
let collect: Collect | null = null;

function exposed(): Collect {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as Collect;
}
