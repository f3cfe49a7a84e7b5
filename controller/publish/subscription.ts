import type { Ack, Commit } from '#table/change.ts';
import type { AnyKinds, RefIn } from '#table/contract.ts';
import type { Batch, StoredRow } from './publisher.ts';

/** A proxy that wants the table (or an edge its plan), and the way to it. */
export interface Subscriber<M> {
  name: string;
  zone: string | null;
  node: string | null;
  /** Origin of its admin pages; null: not known. */
  admin: string | null;
  /** Content that it holds already; '' for none. */
  hash: string;
  /** true: a person who looks on. It is sent everything and counts for nothing. */
  isObserver: boolean;
  /** Brings one batch there and back its answer. A rejection means that the subscriber is gone. */
  deliver(batch: Batch<M>): Promise<Ack>;
}

/** What a subscription reads of the publisher. */
interface Shelf<M> {
  commit(): Commit | null;
  row(key: string): StoredRow<M> | undefined;
  rows(): Iterable<StoredRow<M>>;
  rowCount(): number;
  /** An answer came. */
  settled(): void;
}

/** One proxy's way to the table: what it has, what it lacks, and the one batch that is under way. */
export class Subscription<M extends AnyKinds> {
  readonly subscriber: Subscriber<M>;
  appliedHash: string | null = null;
  refused: Extract<Ack, { type: 'refused' }>['problems'] = [];
  readonly #shelf: Shelf<M>;
  #lacks = new Map<string, RefIn<M>>();
  /** null: nothing is known of what it holds, so it needs the whole table. */
  #baseHash: string | null;
  /** The commit that it refused; it is not offered again. */
  #refusedCommit: Commit | null = null;
  #isGreeted = false;
  #isBusy = false;
  #hasEnded = false;

  constructor(subscriber: Subscriber<M>, shelf: Shelf<M>) {
    this.subscriber = subscriber;
    this.#shelf = shelf;
    this.#baseHash = subscriber.hash;
  }

  /** There is a new commit, or the subscriber is new. */
  changed(rows: ReadonlyMap<string, RefIn<M>>): void {
    for (const [key, ref] of rows) this.#lacks.set(key, ref);
    // Rows that came and went while it was stalled are in the map, too; without a bound it would grow for ever.
    if (this.#lacks.size > 2 * this.#shelf.rowCount() + 1_000) this.#baseHash = null;
    if (this.#baseHash === null) this.#lacks.clear();
    if (!this.#isBusy) void this.#run();
  }

  end(): void {
    this.#hasEnded = true;
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    try {
      for (let batch = this.#next(); batch !== null; batch = this.#next()) {
        const ack = await this.subscriber.deliver(batch);
        if (this.#hasEnded) return;
        this.#answered(batch.commit, ack);
        this.#shelf.settled();
      }
    } catch {
      // The connection is gone; its owner ends the subscription, and the proxy comes back with the hash that it holds.
    } finally {
      this.#isBusy = false;
    }
  }

  #next(): Batch<M> | null {
    const commit = this.#shelf.commit();
    if (this.#hasEnded || commit === null || this.#isRefused(commit)) return null;
    if (!this.#isGreeted) {
      this.#lacks.clear();
      if (this.#baseHash !== commit.hash) this.#baseHash = null;
    }
    if (this.#isGreeted && this.#baseHash !== null && this.#lacks.size === 0) return null;
    this.#isGreeted = true;
    const isSnapshot = this.#baseHash === null;
    const rows: StoredRow<M>[] = isSnapshot ? Array.from(this.#shelf.rows()) : [];
    const deletes: RefIn<M>[] = [];
    if (!isSnapshot) {
      for (const [key, ref] of this.#lacks) {
        const row = this.#shelf.row(key);
        if (row) rows.push(row);
        else deletes.push(ref);
      }
    }
    this.#lacks.clear();
    this.#baseHash = commit.hash;
    return { isSnapshot, rows, deletes, commit };
  }

  /**
   * A refused commit is not sent again, with one exception: a proxy that found us behind may accept the same rows once
   * we have seen more.
   */
  #isRefused(commit: Commit): boolean {
    const refused = this.#refusedCommit;
    if (refused === null) return false;
    const wasBehind = this.refused.some((problem) => problem.code === 'TableFromThePast');
    return wasBehind ? refused === commit : refused.hash === commit.hash;
  }

  #answered(commit: Commit, ack: Ack): void {
    if (ack.type === 'applied') {
      this.appliedHash = ack.hash;
      this.refused = [];
      this.#refusedCommit = null;
      return;
    }
    this.refused = ack.problems;
    this.#refusedCommit = commit;
    // Its table is an older one of ours or another replica's: only a whole table is sure to fit.
    this.#baseHash = null;
  }
}
