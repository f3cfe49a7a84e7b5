import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What nobody keeps any more is gone when it returns; what has a destructor, some turns of the event loop later. */
export const collectGarbage: () => void = collectorOfV8();

/** Contexts that are made while V8 is told to show it have it, and keep it. */
function collectorOfV8(): () => void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  setFlagsFromString('--no-expose-gc');
  return () => {
    // What the first finds of buffers is given back by a thread beside us, for which the second waits.
    collect();
    collect();
  };
}
