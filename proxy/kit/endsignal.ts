/**
 * Resolves with the first SIGTERM or SIGINT, which does not end the process then. The same signal once more does: somebody cannot wait.
 * @param others that end it likewise, and no more than that however often they come
 */
export function endSignal(...others: NodeJS.Signals[]): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
    for (const signal of others) process.on(signal, () => resolve(signal));
  });
}
