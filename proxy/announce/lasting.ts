/** For how long addresses have been in a state without a break, by a clock of the caller. */
export class Lasting {
  readonly #sinceMs = new Map<string, number>();

  /** The address is in the state. @returns for how long, ms */
  note(address: string, nowMs: number): number {
    const sinceMs = this.#sinceMs.get(address) ?? nowMs;
    this.#sinceMs.set(address, sinceMs);
    return nowMs - sinceMs;
  }

  /** It is in the state no more. */
  end(address: string): void {
    this.#sinceMs.delete(address);
  }

  has(address: string): boolean {
    return this.#sinceMs.has(address);
  }
}
