import { LRUCache } from 'lru-cache';
import { type AffinityEntry, isNewer } from '../share/affinity.ts';
import { uptimeMs } from '../share/uptime.ts';

/** Which endpoints the workers sent clients to, kept by the primary for a successor that remembers nothing itself. */
export class KnownClients {
  readonly #entries = new LRUCache<string, AffinityEntry>({ max: 100_000 });

  /** @returns those that were not known */
  learn(entries: readonly AffinityEntry[]): AffinityEntry[] {
    return entries.filter((entry) => {
      const known = this.#entries.get(entry.id);
      if (known !== undefined && !isNewer(entry, known)) return false;
      this.#entries.set(entry.id, entry);
      return true;
    });
  }

  known(): AffinityEntry[] {
    const nowMs = uptimeMs();
    return [...this.#entries.values()].filter(({ expiresMs }) => expiresMs > nowMs);
  }
}
