/** Tells the process that started this one that it listens, and ends with it. */
export function announceListening(): void {
  // Without the callback, a parent that has gone in this moment would be an uncaught error.
  process.send?.('listening', undefined, undefined, () => {});
}

process.on('disconnect', () => process.exit(0));
