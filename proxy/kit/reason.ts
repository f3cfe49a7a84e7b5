/** Why something failed, for a log line or a sentence: what was thrown may be anything. Without a stack, and never empty. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message || error.name : String(error);
}
