import type { Backend, Endpoint, Endpoints } from '#table/backend.ts';
import type { Problem } from '#table/problem.ts';
import type { Table } from '#table/rows.ts';
import { type HealthChange, Prober } from '../probe/prober.ts';
import { changesOf, type Delta } from '../receive/changes.ts';
import { NameResolver } from '../receive/resolve.ts';
import type { HealthWord } from './messages.ts';

export interface UpkeepOptions {
  /** The table in force, with the change that is followed; read when a probe needs key material. */
  table(): Table;
  readonly canUseLoopback: boolean;
  /** A row whose name came to other addresses, or whose problems changed. */
  onAddresses(row: Endpoints): void;
  onHealth(change: HealthChange): void;
}

/** What one process does for all workers: it resolves names and probes endpoints. */
export class Upkeep {
  readonly #table: () => Table;
  readonly #names: NameResolver;
  readonly #prober: Prober;

  constructor({ table, canUseLoopback, onAddresses, onHealth }: UpkeepOptions) {
    this.#table = table;
    this.#prober = new Prober({
      onHealth,
      material: {
        secret: (id) => table().secret.get(id)?.value,
        certificate: (id) => table().certificate.get(id),
      },
      random: Math.random,
    });
    this.#names = new NameResolver({
      servers: [],
      canUseLoopback,
      random: Math.random,
      onChange: (row) => {
        this.#prober.apply({ backends: new Map(), endpoints: new Map([[row.id, row]]) });
        onAddresses(row);
      },
    });
  }

  /** Takes a change of the table, and returns it with what is known of the names in it: the form that workers get. */
  follow(delta: Delta): Delta {
    this.#names.track(changesOf(delta, 'endpoints'));
    const filled = this.fill(delta);
    this.#prober.apply({ backends: this.#changedBackends(delta), endpoints: changesOf(filled, 'endpoints') });
    return filled;
  }

  /** Those whose row changed, and those whose key material did. */
  #changedBackends(delta: Delta): Map<string, Backend | null> {
    const backends = new Map(changesOf(delta, 'backend'));
    const secrets = changesOf(delta, 'secret');
    const certificates = changesOf(delta, 'certificate');
    if (secrets.size + certificates.size === 0) return backends;
    for (const row of this.#table().backend.values()) {
      const { id, tls, healthCheck } = row;
      if (tls === null || healthCheck === null || backends.has(id)) continue;
      if (secrets.has(tls.verify?.caSecretId ?? '') || certificates.has(tls.certificateId ?? '')) backends.set(id, row);
    }
    return backends;
  }

  /** Rows that name a host, with the addresses known now. */
  fill({ upserts, deletes }: Delta): Delta {
    return {
      upserts: upserts.map((each) =>
        each.kind === 'endpoints' ? { kind: 'endpoints', row: this.#names.filled(each.row) } : each,
      ),
      deletes,
    };
  }

  /** Endpoints of a row: those it has, or what its name stands for now. */
  addresses(row: Endpoints): readonly Endpoint[] {
    return this.#names.filled(row).endpoints;
  }

  /** For a worker that has just begun. */
  unhealthy(): HealthWord[] {
    return this.#prober.unhealthy().map(({ key, backendId }) => ({ key, backendId, isHealthy: false }));
  }

  /** How many endpoints of each backend are probed, and how many of them are healthy. */
  health(): ReturnType<Prober['counts']> {
    return this.#prober.counts();
  }

  problems(): Problem[] {
    return this.#names.problems();
  }

  close(): void {
    this.#names.close();
    this.#prober.close();
  }
}
