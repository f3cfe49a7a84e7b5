import type { Backend, Endpoint, Endpoints } from '#table/backend.ts';
import type { AffinityMemory } from '../share/affinity.ts';
import { BackendPicker, type Surroundings } from './backend.ts';
import { type EjectionWord, type EndpointLook, endpointKey, LiveEndpoint } from './endpoint.ts';
import type { BackendState } from './types.ts';

export interface SelectorOptions {
  /** Where this proxy runs; null when unknown. */
  readonly zone: string | null;
  readonly node: string | null;
  /** 0 ≤ n < 1. */
  readonly random: () => number;
  readonly memory: AffinityMemory;
  /** Milliseconds since 1970 at nowMs 0, by the system's clock, which may be set: dates in cookies need it. */
  readonly wallOriginMs: () => number;
  /** Told of every ejection, inside `pick` or `finished`. */
  readonly onEject: (word: EjectionWord) => void;
}

/** Changed rows by id; null: the row is gone. */
export interface SelectorChange {
  readonly backends: ReadonlyMap<string, Backend | null>;
  readonly endpoints: ReadonlyMap<string, Endpoints | null>;
  /** The fleet's key for cookies, 32 bytes; null: unchanged. */
  readonly affinityKey: Uint8Array | null;
}

/** Every backend's endpoints in this worker. What is known of an address and port outlives table changes. */
export class Selector {
  readonly #around: Surroundings;
  readonly #backends = new Map<string, BackendPicker>();
  readonly #rowsById = new Map<string, Endpoints>();
  /** Backend id → ids of the endpoint rows that name it. */
  readonly #rowIdsByBackend = new Map<string, Set<string>>();
  readonly #endpointsByKey = new Map<string, LiveEndpoint>();

  constructor(options: SelectorOptions) {
    const { zone, node, random, memory, wallOriginMs, onEject } = options;
    this.#around = { place: { zone, node }, random, memory, wallOriginMs, onEject, affinityKey: null };
  }

  /**
   * Takes changed rows into use; cost is that of the backends they touch.
   *
   * @param nowMs of the same clock as in `pick` and `finished`
   * @returns keys of the endpoints that no row names any more
   */
  apply(change: SelectorChange, nowMs: number): { goneKeys: readonly string[] } {
    const touched = new Set<string>(change.backends.keys());
    if (change.affinityKey !== null && !isSameKey(change.affinityKey, this.#around.affinityKey)) {
      this.#around.affinityKey = change.affinityKey;
      for (const [id, backend] of this.#backends) if (backend.row.affinity !== null) touched.add(id);
    }
    const maybeGone = new Set<string>();
    for (const [id, row] of change.endpoints) this.#takeEndpoints(id, row, touched, maybeGone);
    for (const id of touched) this.#renew(id, change.backends.get(id), nowMs);
    return { goneKeys: this.#dropUnused(maybeGone) };
  }

  /** @returns undefined when no row of that id is in force */
  backend(id: string): BackendState | undefined {
    return this.#backends.get(id);
  }

  /** Takes a result of active probing. Ids and keys that have gone meanwhile are ignored. */
  setHealth(key: string, backendId: string, isHealthy: boolean, nowMs: number): void {
    this.#backends.get(backendId)?.setHealth(key, isHealthy, nowMs);
  }

  /** What is known of the endpoints of a backend, for people. */
  look(backendId: string, nowMs: number): EndpointLook[] {
    return this.#backends.get(backendId)?.look(nowMs) ?? [];
  }

  #takeEndpoints(id: string, row: Endpoints | null, touched: Set<string>, maybeGone: Set<string>): void {
    const old = this.#rowsById.get(id);
    for (const backendId of old?.backendIds ?? []) {
      touched.add(backendId);
      const ids = this.#rowIdsByBackend.get(backendId);
      if (ids?.delete(id) && ids.size === 0) this.#rowIdsByBackend.delete(backendId);
    }
    // Before the old ones go: who stays is known by its uid.
    for (const endpoint of row?.endpoints ?? []) this.#use(endpoint);
    for (const endpoint of old?.endpoints ?? []) {
      const key = endpointKey(endpoint.address, endpoint.port);
      const known = this.#endpointsByKey.get(key);
      known?.droppedBy(endpoint);
      if (known?.isGone) maybeGone.add(key);
    }
    if (row === null) {
      this.#rowsById.delete(id);
      return;
    }
    this.#rowsById.set(id, row);
    for (const backendId of row.backendIds) {
      touched.add(backendId);
      const ids = this.#rowIdsByBackend.get(backendId);
      if (ids === undefined) this.#rowIdsByBackend.set(backendId, new Set([id]));
      else ids.add(id);
    }
  }

  #use(endpoint: Endpoint): void {
    const key = endpointKey(endpoint.address, endpoint.port);
    const known = this.#endpointsByKey.get(key);
    if (known === undefined) this.#endpointsByKey.set(key, new LiveEndpoint(key, endpoint, this.#around.onEject));
    else known.namedBy(endpoint);
  }

  #renew(id: string, change: Backend | null | undefined, nowMs: number): void {
    const existing = this.#backends.get(id);
    if (change === null) {
      existing?.leave();
      this.#backends.delete(id);
      return;
    }
    const row = change ?? existing?.row;
    // Endpoints may name a backend that is not in the table; check.ts refuses such a table, and a stray row does no harm.
    if (row === undefined) return;
    const backend = existing ?? new BackendPicker(row, this.#around);
    if (existing === undefined) this.#backends.set(id, backend);
    backend.renew(row, this.#endpointsOf(id), nowMs);
  }

  *#endpointsOf(backendId: string): Generator<{ state: LiveEndpoint; row: Endpoint }> {
    for (const id of this.#rowIdsByBackend.get(backendId) ?? []) {
      for (const row of this.#rowsById.get(id)?.endpoints ?? []) {
        const state = this.#endpointsByKey.get(endpointKey(row.address, row.port));
        if (state !== undefined) yield { state, row };
      }
    }
  }

  #dropUnused(keys: Iterable<string>): string[] {
    const gone: string[] = [];
    for (const key of keys) {
      if (this.#endpointsByKey.get(key)?.isGone !== true) continue;
      this.#endpointsByKey.delete(key);
      gone.push(key);
    }
    return gone;
  }
}

/** A snapshot brings the key again; tokens need no second computing then. */
function isSameKey(key: Uint8Array, old: Uint8Array | null): boolean {
  return old !== null && Buffer.compare(key, old) === 0;
}
