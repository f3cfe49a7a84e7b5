import { LRUCache } from 'lru-cache';

/** One client's endpoint, as processes tell each other. */
export interface AffinityEntry {
  /** Stands for a backend and a client's address (select/clientip.ts); says neither. */
  readonly id: string;
  /** Endpoint key (`address:port`). */
  readonly endpoint: string;
  /** Whole milliseconds on the machine's clock (uptime.ts). */
  readonly expiresMs: number;
}

/** Which endpoint a client was sent to, for affinity that no cookie carries. nowMs is of the worker's monotonic clock. */
export interface AffinityMemory {
  /** @returns the endpoint key, and keeps it for another timeoutMs; undefined when unknown or out of time */
  recall(id: string, timeoutMs: number, nowMs: number): string | undefined;
  remember(id: string, endpoint: string, timeoutMs: number, nowMs: number): void;
}

interface Remembered {
  readonly id: string;
  endpoint: string;
  expiresMs: number;
  /** Expiry that the others know of. */
  toldMs: number;
}

export interface LocalAffinityOptions {
  /** About 300 bytes each; 100 000 when absent. */
  readonly maxClients?: number;
  /** What the machine's clock shows at nowMs 0; 0 when absent. */
  readonly clockOriginMs?: number;
}

/**
 * Affinity in the memory of one process. What it learns from its own requests it tells through onRemember; what others
 * tell comes in by learn, so that a client keeps its endpoint whichever worker of whichever proxy accepts it.
 *
 * Bounded: the clients that were quiet longest are forgotten first, and are then placed by hash like new ones.
 */
export class LocalAffinity implements AffinityMemory {
  readonly #maxClients: number;
  readonly #originMs: number;
  #entries: LRUCache<string, Remembered> | null = null;
  #tell: (entry: AffinityEntry) => void = () => undefined;

  constructor({ maxClients = 100_000, clockOriginMs = 0 }: LocalAffinityOptions = {}) {
    this.#maxClients = maxClients;
    this.#originMs = Math.round(clockOriginMs);
  }

  /** Called for each entry that is new, changed, or whose expiry moved by more than a tenth of its timeout. */
  onRemember(callback: (entry: AffinityEntry) => void): void {
    this.#tell = callback;
  }

  /** Takes what another process remembers. */
  learn(entry: AffinityEntry): void {
    const { id, endpoint } = entry;
    const expiresMs = entry.expiresMs - this.#originMs;
    const known = this.#entries?.get(id);
    if (known !== undefined && !isNewer({ endpoint, expiresMs }, known)) return;
    this.#set({ id, endpoint, expiresMs, toldMs: expiresMs });
  }

  recall(id: string, timeoutMs: number, nowMs: number): string | undefined {
    const known = this.#entries?.get(id);
    if (known === undefined) return undefined;
    if (known.expiresMs <= nowMs) {
      this.#entries?.delete(id);
      return undefined;
    }
    known.expiresMs = Math.round(nowMs + timeoutMs);
    if (known.expiresMs - known.toldMs > timeoutMs / 10) this.#announce(known);
    return known.endpoint;
  }

  remember(id: string, endpoint: string, timeoutMs: number, nowMs: number): void {
    // Later than what the others know: a client that is told of and moves in one moment, by a retry, would be left where it was.
    const leastMs = (this.#entries?.get(id)?.toldMs ?? 0) + 1;
    const entry = { id, endpoint, expiresMs: Math.max(leastMs, Math.round(nowMs + timeoutMs)), toldMs: 0 };
    this.#set(entry);
    this.#announce(entry);
  }

  /** The cache takes its room at once, some megabytes; a worker without such backends never needs it. */
  #set(entry: Remembered): void {
    this.#entries ??= new LRUCache({ max: this.#maxClients });
    this.#entries.set(entry.id, entry);
  }

  #announce(entry: Remembered): void {
    entry.toldMs = entry.expiresMs;
    this.#tell({ id: entry.id, endpoint: entry.endpoint, expiresMs: entry.expiresMs + this.#originMs });
  }
}

/**
 * Of two accounts of a client the one that lasts longer is newer; a tie is decided by name, so that all who have heard
 * both agree, in whatever order they heard them.
 */
export function isNewer(
  told: Pick<AffinityEntry, 'endpoint' | 'expiresMs'>,
  known: Pick<AffinityEntry, 'endpoint' | 'expiresMs'>,
): boolean {
  return told.expiresMs === known.expiresMs ? told.endpoint < known.endpoint : told.expiresMs > known.expiresMs;
}
