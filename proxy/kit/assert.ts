/** Marks a branch that the types say cannot be reached: a programmer's error, never a user's. */
export function assertNever(value: never, what: string): never {
  throw new Error(`unexpected ${what}: ${JSON.stringify(value)}`);
}
