import { isDeepStrictEqual } from 'node:util';
import type { Log } from '#kit/log.ts';
import type { AddressPoolStatus } from '../addresses/addresspool.ts';
import { ownGroup, ownKinds, ownVersion } from '../addresses/kinds.ts';
import { type Cluster, unanswered } from '../watch/api.ts';
import { propertyOf } from '../watch/read.ts';

export interface PoolWriterOptions {
  cluster: Cluster;
  /** By name of pool: how much is in use now. */
  usage(): ReadonlyMap<string, AddressPoolStatus>;
  log: Log;
}

/** How much is in use changes with every Service; for people and graphs this often is enough. */
const gatherMs = 500;
const retryMs = 10_000;

/** Writes how much of each AddressPool is in use into its status: leader only, what has changed since its last write. */
export class PoolWriter {
  readonly #options: PoolWriterOptions;
  readonly #stop = new AbortController();
  readonly #written = new Map<string, AddressPoolStatus>();
  #isLeader = false;
  #timer: NodeJS.Timeout | null = null;
  /** What was logged since all could be written last. */
  readonly #refusals = new Set<string>();

  constructor(options: PoolWriterOptions) {
    this.#options = options;
  }

  /**
   * How much is in use may be something else than before.
   *
   * @param pools that were changed, and may be others of the same name
   */
  changed(pools: Iterable<string>): void {
    for (const name of pools) this.#written.delete(name);
    this.#lookIn(gatherMs);
  }

  lead(isLeader: boolean): void {
    this.#isLeader = isLeader;
    // Who led before has written since.
    this.#written.clear();
    this.#lookIn(0);
  }

  stop(): void {
    this.#stop.abort();
    if (this.#timer) clearTimeout(this.#timer);
  }

  #lookIn(delayMs: number): void {
    if (!this.#isLeader || this.#stop.signal.aborted) return;
    this.#timer ??= setTimeout(() => void this.#writeAll(), delayMs);
  }

  async #writeAll(): Promise<void> {
    let hasFailed = false;
    for (const [name, status] of this.#options.usage()) {
      if (!this.#isLeader || this.#stop.signal.aborted) break;
      if (isDeepStrictEqual(this.#written.get(name), status)) continue;
      // Noted before the answer is there: a change that is heard of meanwhile takes the note away, and is not lost.
      this.#written.set(name, status);
      if (await this.#write(name, status)) continue;
      this.#written.delete(name);
      hasFailed = true;
    }
    this.#timer = null;
    if (hasFailed) return this.#lookIn(retryMs);
    this.#refusals.clear();
    if (this.#hasMore()) this.#lookIn(gatherMs);
  }

  #hasMore(): boolean {
    for (const [name, status] of this.#options.usage()) {
      if (!isDeepStrictEqual(this.#written.get(name), status)) return true;
    }
    return false;
  }

  /** A family that the pool has lost goes from the status, too. @returns whether it is done */
  async #write(name: string, { ipv4, ipv6 }: AddressPoolStatus): Promise<boolean> {
    const { status, body } = await this.#options.cluster
      .call({
        method: 'PATCH',
        path: `/apis/${ownGroup}/${ownVersion}/${ownKinds.AddressPool.plural}/${encodeURIComponent(name)}/status`,
        contentType: 'application/merge-patch+json',
        body: { status: { ipv4: ipv4 ?? null, ipv6: ipv6 ?? null } },
        signal: this.#stop.signal,
      })
      .catch(unanswered);
    if (status === 200 || status === 404) return true;
    const refusal = `the status of an AddressPool cannot be written: ${status} ${propertyOf(body, 'message') ?? ''}`;
    if (!this.#refusals.has(refusal) && !this.#stop.signal.aborted) this.#options.log.warn({ pool: name }, refusal);
    this.#refusals.add(refusal);
    return false;
  }
}
