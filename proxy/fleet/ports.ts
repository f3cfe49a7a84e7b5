import type { Log } from '#kit/log.ts';
import type { Listener } from '#table/listener.ts';
import type { Problem } from '#table/problem.ts';
import { BindError, bindAddresses } from '../listen/sockets.ts';
import type { Crew } from './crew.ts';

export interface PortOptions {
  /** Ports that win over those of the rows, by listener id. */
  readonly portsById: ReadonlyMap<string, number>;
  /** Sockets per address: one for each worker. */
  readonly workers: number;
  readonly log: Log;
}

interface OpenPort {
  /** What was asked for: another wish closes this port and opens a new one. */
  readonly wish: string;
  readonly port: number;
}

/** The ports that the fleet listens on, kept like the listener rows. */
export class Ports {
  readonly #options: PortOptions;
  readonly #crew: Crew;
  readonly #openById = new Map<string, OpenPort>();
  readonly #problemsById = new Map<string, Problem>();

  constructor(options: PortOptions, crew: Crew) {
    this.#options = options;
    this.#crew = crew;
  }

  /** Bound ports by listener id. */
  open(): ReadonlyMap<string, number> {
    return new Map([...this.#openById].map(([id, { port }]) => [id, port]));
  }

  problems(): Problem[] {
    return [...this.#problemsById.values()];
  }

  /**
   * Opens and closes what the rows ask for; returns when every worker listens. A port that cannot be had is a problem of
   * its listener and of no other; it is tried again at the next call.
   */
  async follow(listenersById: ReadonlyMap<string, Listener>): Promise<void> {
    for (const id of [...this.#openById.keys()]) {
      const row = listenersById.get(id);
      if (row !== undefined && this.#wishOf(row) === this.#openById.get(id)?.wish) continue;
      this.#openById.delete(id);
      await this.#crew.unlisten(id);
    }
    this.#problemsById.clear();
    for (const row of listenersById.values()) if (!this.#openById.has(row.id)) await this.#open(row);
  }

  async #open(row: Listener): Promise<void> {
    const { workers, log } = this.#options;
    try {
      const bound = bindAddresses(row.addresses, this.#portOf(row), workers);
      const port = bound[0]?.port ?? 0;
      await this.#crew.listen(row, bound);
      this.#openById.set(row.id, { wish: this.#wishOf(row), port });
    } catch (error) {
      if (!(error instanceof BindError)) throw error;
      log.error({ row: row.id, source: row.source, err: error.message }, 'listener not open');
      this.#problemsById.set(row.id, {
        code: 'PortUnavailable',
        severity: 'error',
        source: row.source ?? { kind: 'Listener', namespace: '', name: row.id },
        message: `The proxy ${error.message}.`,
        hint: 'Free the port or choose another one; the proxy tries again by itself.',
      });
    }
  }

  #portOf(row: Listener): number {
    return this.#options.portsById.get(row.id) ?? row.port;
  }

  #wishOf(row: Listener): string {
    return `${this.#portOf(row)} ${row.addresses.join()}`;
  }
}
