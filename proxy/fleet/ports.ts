import type { Log } from '#kit/log.ts';
import type { Listener } from '#table/listener.ts';
import type { Problem } from '#table/problem.ts';
import { bindAddresses } from '../listen/sockets.ts';
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
  #turn: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  #isClosed = false;

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
   * its listener and of no other; it is tried again every few seconds and at the next call. Never rejects.
   */
  follow(listenersById: ReadonlyMap<string, Listener>): Promise<void> {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#turn = this.#turn.then(() => this.#follow(listenersById));
    return this.#turn;
  }

  /** Nothing is opened any more. */
  close(): void {
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#isClosed = true;
  }

  async #follow(listenersById: ReadonlyMap<string, Listener>): Promise<void> {
    for (const [id, { wish }] of [...this.#openById]) {
      const row = listenersById.get(id);
      if (row !== undefined && this.#wishOf(row) === wish) continue;
      this.#openById.delete(id);
      await this.#crew.unlisten(id).catch((error: Error) => this.#log('listener not closed', id, error));
    }
    this.#problemsById.clear();
    for (const row of forHttpFirst(listenersById)) if (!this.#openById.has(row.id)) await this.#open(row);
    if (this.#problemsById.size > 0 && !this.#isClosed) {
      this.#retry = setTimeout(() => void this.follow(listenersById), retryMs);
    }
  }

  async #open(row: Listener): Promise<void> {
    if (this.#isClosed) return;
    try {
      const transport = row.protocol === 'udp' ? 'udp' : 'tcp';
      const bound = bindAddresses(transport, row.addresses, this.#portOf(row), this.#options.workers);
      const port = bound[0]?.port ?? 0;
      // From here on workers may listen, so closing is their affair, too.
      this.#openById.set(row.id, { wish: this.#wishOf(row), port });
      await this.#crew.listen(row, bound);
    } catch (error) {
      if (this.#openById.delete(row.id)) await this.#crew.unlisten(row.id).catch(() => {});
      this.#log('listener not open', row.id, error as Error);
      this.#problemsById.set(row.id, problemOf(row, error as Error));
    }
  }

  #log(what: string, row: string, error: Error): void {
    this.#options.log.error({ row, err: error.message }, what);
  }

  #portOf(row: Listener): number {
    return this.#options.portsById.get(row.id) ?? row.port;
  }

  #wishOf(row: Listener): string {
    return `${row.protocol} ${this.#portOf(row)} ${row.addresses.join()}`;
  }
}

/** Of two rows that want one port, that which every host needs gets it, and not one Service that is carried unread. */
function forHttpFirst(listenersById: ReadonlyMap<string, Listener>): Listener[] {
  const isCarried = ({ protocol }: Listener) => Number(protocol === 'tcp' || protocol === 'udp');
  return [...listenersById.values()].sort((a, b) => isCarried(a) - isCarried(b));
}

const retryMs = 5_000;

function problemOf(row: Listener, error: Error): Problem {
  return {
    code: 'PortUnavailable',
    severity: 'error',
    source: row.source ?? { kind: 'Listener', namespace: '', name: row.id },
    message: `The proxy does not serve the listener ${row.id}: ${error.message}.`,
    hint: 'Free the port or choose another one; the proxy tries again every few seconds.',
  };
}
