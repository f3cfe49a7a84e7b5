import type { Log } from '#kit/log.ts';
import type { Ack, ChangeBatch, Commit } from '#table/change.ts';
import { type AnyKinds, type Contract, emptyTableOf, type TableOf } from '#table/contract.ts';
import type { Problem } from '#table/problem.ts';
import type { Rows } from '#table/rows.ts';
import type { Delta } from './changes.ts';
import { applyDelta, deltaFromNothing, deltaOf } from './delta.ts';
import type { TimeGuard } from './order.ts';

export interface IntakeOptions<M extends AnyKinds> {
  readonly contract: Contract<M>;
  readonly guard: TimeGuard;
  readonly log: Log;
  /** Milliseconds that only grow. */
  nowMs(): number;
  /** What a change would break, looked for before anybody sees it; the table has it already. Costs what changed. */
  faultsOf(table: TableOf<M>, delta: Delta<M>): Problem[];
  /** Brings a checked change to all who work by it; rejects when it cannot be applied. */
  spread(delta: Delta<M>, hash: string): Promise<void>;
  /** What is told to the sender when it could not. */
  notApplied(reason: string): Problem;
  /** Everything that follows from a table that is in force: doors, probes, the copy on disk. */
  onForce(table: TableOf<M>, delta: Delta<M>, commit: Commit): Promise<void>;
}

/**
 * The door: a batch is checked, applied and acknowledged, or refused as a whole. One at a time,
 * in the order of arrival.
 */
export class Intake<M extends AnyKinds = Rows> {
  /** In force, or about to be: the change that is being spread is already in it. */
  readonly table: TableOf<M>;
  applied = 0;
  refused = 0;
  /** Why the newest batch was refused; empty when it was applied. */
  lastRefusal: readonly Problem[] = [];
  readonly #options: IntakeOptions<M>;
  #commit: Commit | null = null;
  #hash: string | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: IntakeOptions<M>) {
    this.table = emptyTableOf(options.contract);
    this.#options = options;
  }

  /** Of the table in force; null before the first. */
  get commit(): Commit | null {
    return this.#commit;
  }

  /** Content hash of what is in force or is about to be; '' before the first. */
  get hash(): string {
    return this.#hash ?? '';
  }

  /** The whole table for somebody who starts now; null before the first. */
  whole(): { delta: Delta<M>; hash: string } | null {
    return this.#hash === null ? null : { delta: deltaFromNothing(this.table), hash: this.#hash };
  }

  take(batch: ChangeBatch<M>): Promise<Ack> {
    return this.inTurn(() => this.#take(batch));
  }

  /** Takes the batch only when no other has come into force: for what a disk remembers. */
  async takeAsFirst(batch: ChangeBatch<M>): Promise<void> {
    await this.inTurn(async () => {
      if (this.#commit === null) await this.#take(batch);
    });
  }

  /** Runs work between two batches. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }

  async #take(batch: ChangeBatch<M>): Promise<Ack> {
    const { guard, log, nowMs, faultsOf, spread, notApplied, onForce } = this.#options;
    const { commit } = batch;
    const tooOld = guard.refusal(commit, nowMs());
    if (tooOld !== null) return this.#refuse(commit, [tooOld]);
    const delta = deltaOf(this.table, batch);
    const inverse = applyDelta(this.table, delta);
    const faults = faultsOf(this.table, delta);
    if (faults.length > 0) {
      applyDelta(this.table, inverse);
      return this.#refuse(commit, faults);
    }
    const hashBefore = this.#hash;
    this.#hash = commit.hash;
    try {
      if (hashBefore !== commit.hash || !isNothing(delta)) await spread(delta, commit.hash);
    } catch (error) {
      log.error(
        { hash: commit.hash, err: (error as Error).message },
        'table not applied; the last good one comes back',
      );
      this.#hash = hashBefore;
      applyDelta(this.table, inverse);
      await spread(inverse, hashBefore ?? '').catch((failure: Error) => {
        log.error({ hash: hashBefore, err: failure.message }, 'last good table not applied');
      });
      return this.#refuse(commit, [notApplied((error as Error).message.split('\n')[0] ?? '')]);
    }
    this.#commit = commit;
    guard.tookForce(commit.holds);
    await onForce(this.table, delta, commit);
    this.applied++;
    this.lastRefusal = [];
    return { type: 'applied', hash: commit.hash, generation: commit.generation };
  }

  #refuse({ hash, generation }: Commit, problems: Problem[]): Ack {
    this.refused++;
    this.lastRefusal = problems;
    const [first] = problems;
    this.#options.log.warn(
      { hash, generation, code: first?.code, source: first?.source, problems: problems.length },
      `table refused: ${first?.message}`,
    );
    return { type: 'refused', hash, generation, problems: problems.slice(0, maxProblems) };
  }
}

/** A commit may bring nothing but news of what its sender has seen. */
function isNothing({ upserts, deletes }: { upserts: readonly unknown[]; deletes: readonly unknown[] }): boolean {
  return upserts.length === 0 && deletes.length === 0;
}

/** One broken row may break ten thousand pointers; the first say enough. */
const maxProblems = 100;
