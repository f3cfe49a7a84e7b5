const ends = ['SIGTERM', 'SIGINT'] as const;

/**
 * Resolves with the first SIGTERM or SIGINT, which does not end the process then. The next one does, whichever of the two it is:
 * somebody cannot wait.
 *
 * @param others that end it likewise, and no more than that however often they come
 */
export function endSignal(...others: NodeJS.Signals[]): Promise<NodeJS.Signals> {
  let isEnding = false;
  return new Promise((resolve) => {
    const begin = (signal: NodeJS.Signals) => {
      isEnding = true;
      resolve(signal);
    };
    for (const signal of ends) process.on(signal, () => (isEnding ? process.exit(1) : begin(signal)));
    for (const signal of others) process.on(signal, begin);
  });
}
