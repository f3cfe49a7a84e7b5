/** Resolves with the first SIGTERM or SIGINT, which does not end the process then. The same signal once more does: somebody cannot wait. */
export function endSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
}
