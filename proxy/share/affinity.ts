import { LRUCache } from 'lru-cache';

/** One client's endpoint, as workers tell each other. */
export interface AffinityEntry {
  readonly backendId: string;
  readonly client: string;
  /** Endpoint key (`address:port`). */
  readonly endpoint: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** Which endpoint a client was sent to, for affinity that no cookie carries. Times are milliseconds since 1970: processes share them. */
export interface AffinityMemory {
  /** @returns the endpoint key, and keeps it for another timeoutMs; undefined when unknown or out of time */
  recall(backendId: string, client: string, timeoutMs: number, wallMs: number): string | undefined;
  remember(backendId: string, client: string, endpoint: string, timeoutMs: number, wallMs: number): void;
}

interface Remembered {
  readonly backendId: string;
  readonly client: string;
  endpoint: string;
  expiresMs: number;
  /** Expiry that the siblings know of. */
  toldMs: number;
}

/**
 * Affinity in the memory of one process. What it learns from its own requests it tells through onRemember; what the
 * siblings tell comes in by learn, so that a client keeps its endpoint whichever worker accepts it.
 *
 * Bounded: the clients that were quiet longest are forgotten first, and are then placed by hash like new ones.
 */
export class LocalAffinity implements AffinityMemory {
  readonly #maxClients: number;
  #entries: LRUCache<string, Remembered> | null = null;
  #tell: (entry: AffinityEntry) => void = () => undefined;

  /** @param maxClients about 300 bytes each */
  constructor(maxClients = 100_000) {
    this.#maxClients = maxClients;
  }

  /** Called for each entry that is new, changed, or whose expiry moved by more than a tenth of its timeout. */
  onRemember(callback: (entry: AffinityEntry) => void): void {
    this.#tell = callback;
  }

  /** Takes what a sibling remembers. Of two accounts of a client the one that lasts longer is newer. */
  learn(entry: AffinityEntry): void {
    const { backendId, client, endpoint, expiresMs } = entry;
    const key = keyOf(backendId, client);
    const known = this.#entries?.get(key);
    if (
      known !== undefined &&
      (known.expiresMs > expiresMs || (known.expiresMs === expiresMs && known.endpoint <= endpoint))
    ) {
      return;
    }
    this.#set(key, { backendId, client, endpoint, expiresMs, toldMs: expiresMs });
  }

  recall(backendId: string, client: string, timeoutMs: number, wallMs: number): string | undefined {
    const key = keyOf(backendId, client);
    const known = this.#entries?.get(key);
    if (known === undefined) return undefined;
    if (known.expiresMs <= wallMs) {
      this.#entries?.delete(key);
      return undefined;
    }
    known.expiresMs = wallMs + timeoutMs;
    if (known.expiresMs - known.toldMs > timeoutMs / 10) this.#announce(known);
    return known.endpoint;
  }

  remember(backendId: string, client: string, endpoint: string, timeoutMs: number, wallMs: number): void {
    const entry = { backendId, client, endpoint, expiresMs: wallMs + timeoutMs, toldMs: 0 };
    this.#set(keyOf(backendId, client), entry);
    this.#announce(entry);
  }

  /** The cache takes its room at once, some megabytes; a worker without such backends never needs it. */
  #set(key: string, entry: Remembered): void {
    this.#entries ??= new LRUCache({ max: this.#maxClients });
    this.#entries.set(key, entry);
  }

  #announce(entry: Remembered): void {
    entry.toldMs = entry.expiresMs;
    const { backendId, client, endpoint, expiresMs } = entry;
    this.#tell({ backendId, client, endpoint, expiresMs });
  }
}

function keyOf(backendId: string, client: string): string {
  return `${client} ${backendId}`;
}
