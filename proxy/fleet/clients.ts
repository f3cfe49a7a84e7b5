import { LRUCache } from 'lru-cache';
import type { AffinityEntry } from '../share/affinity.ts';

/** Which endpoints the workers sent clients to, kept by the primary for a successor that remembers nothing itself. */
export class KnownClients {
  readonly #entries = new LRUCache<string, AffinityEntry>({ max: 100_000 });

  learn(entries: readonly AffinityEntry[]): void {
    for (const entry of entries) this.#entries.set(`${entry.client} ${entry.backendId}`, entry);
  }

  /** @param wallMs milliseconds since 1970 */
  known(wallMs: number): AffinityEntry[] {
    return [...this.#entries.values()].filter(({ expiresMs }) => expiresMs > wallMs);
  }
}
