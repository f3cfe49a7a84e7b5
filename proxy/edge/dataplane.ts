import { randomInt } from 'node:crypto';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Delta } from '../receive/changes.ts';
import type { ChainOptions } from './chains.ts';
import { keyText } from './key.ts';
import { chainsRemovedText, layoutText, layoutVersion, table } from './layout.ts';
import { runNft } from './nft.ts';
import { readStamp, recallTable, takeUnmoved } from './recall.ts';
import { Renderer, type RendererOptions } from './renderer.ts';
import { setSpecs } from './sets.ts';
import type { Transaction } from './transaction.ts';

export interface DataPlaneOptions extends Omit<RendererOptions, 'hasPodInterfaces'>, ChainOptions {
  readonly log: Log;
}

export interface DataPlaneFigures {
  /** Transactions that the kernel took, and how long they took all together, ms. */
  readonly applied: number;
  readonly appliedMs: number;
  readonly lastMs: number;
  /** Times that the whole table was written. */
  readonly syncs: number;
  /** Times that nft refused. */
  readonly failures: number;
  /** Packets of UDP flows that went on to endpoints that they ought to have left. */
  readonly unmoved: number;
}

/**
 * The rules of this node. Changes go to the kernel as transactions that hold what differs; the whole table is written at
 * the start, and whenever the kernel's is not what was left there. It stays in force when the agent ends.
 */
export class DataPlane {
  readonly #options: DataPlaneOptions;
  readonly #renderer: Renderer;
  /** Tells this agent's table from anybody else's. */
  readonly #stamp = keyText((layoutVersion << 16) | randomInt(1, 0x1_0000));
  readonly #figures = { applied: 0, appliedMs: 0, lastMs: 0, syncs: 0, failures: 0, unmoved: 0 };
  /** The kernel has a table of this layout, and what it has learnt may stay. */
  #canAdopt: boolean;
  /** The kernel has what the renderer says. */
  #isInSync = false;
  /** There were such packets between the last two looks. */
  #leavesUnmoved = false;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: DataPlaneOptions, canAdopt: boolean, renderer: Renderer) {
    this.#options = options;
    this.#canAdopt = canAdopt;
    this.#renderer = renderer;
  }

  /** Reads what an earlier agent has left; nothing is changed before the first plan. @throws when nft cannot be used */
  static async open(options: DataPlaneOptions): Promise<DataPlane> {
    // Fails for want of nft, and of the right to use it. To list tables it would read all that they hold.
    await runNft(['list', 'chains', 'inet']);
    const { isUsable, recalled } = await recallTable();
    const hasPodInterfaces = options.podInterfaces.length > 0;
    return new DataPlane(options, isUsable, new Renderer({ ...options, hasPodInterfaces }, recalled));
  }

  get figures(): DataPlaneFigures {
    return this.#figures;
  }

  /** null when the kernel has the plan, else why not. */
  get unreadyReason(): string | null {
    return this.#isInSync ? null : 'the rules are not in force';
  }

  problems(plan: EdgePlan): Problem[] {
    return [...this.#renderer.problems(plan), ...(this.#leavesUnmoved ? [flowsNotMoved] : [])];
  }

  /** @param plan as it is after the change. @throws when the kernel does not take it; it keeps the rules that it has */
  apply(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void> {
    return this.#inTurn(async () => {
      const { isNew } = this.#renderer;
      const transaction = this.#renderer.apply(plan, delta);
      // The first plan of all is taken back: the kernel has the rules of an agent before, which are better than none.
      if (this.#figures.applied === 0 && delta.deletes.length > 0) return;
      if (!this.#isInSync) return this.#sync(isNew ? transaction : this.#renderer.whole());
      if (transaction.isEmpty()) return;
      try {
        await this.#run(transaction.texts());
      } catch (error) {
        this.#options.log.warn(
          { err: reasonOf(error) },
          'a change of the rules was refused; the whole table is written',
        );
        this.#isInSync = false;
        await this.#sync(this.#renderer.whole());
      }
    });
  }

  /** Writes the table again if somebody else has been at it, else tidies it. Costs a few milliseconds where all is well. */
  verify(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#isInSync && (await readStamp()) === this.#stamp) {
        const unmoved = await takeUnmoved();
        this.#leavesUnmoved = unmoved > 0;
        this.#figures.unmoved += unmoved;
        return this.#tidy();
      }
      if (this.#isInSync) this.#options.log.warn({}, 'somebody else has changed our table; it is written anew');
      this.#isInSync = false;
      await this.#sync(this.#renderer.whole());
    });
  }

  /** Writes the whole table, whatever the kernel has. What is in force stays so until this has taken its place, all at once. */
  restore(): Promise<void> {
    return this.#inTurn(() => this.#sync(this.#renderer.whole()));
  }

  /** @param whole all elements of the plan */
  async #sync(whole: Transaction): Promise<void> {
    const stamp = `flush set ${table} state\nadd element ${table} state { ${this.#stamp} }\n`;
    const rest = [stamp, ...whole.texts()];
    const layout = layoutText(this.#options);
    this.#figures.syncs++;
    if (this.#canAdopt) {
      try {
        await this.#run([layout, flushes, ...rest]);
        this.#isInSync = true;
        return;
      } catch (error) {
        this.#options.log.warn({ err: reasonOf(error) }, 'the table cannot be written over; it is made anew');
      }
    }
    await this.#run([`table ${table} {}\ndelete table ${table}\n`, layout, ...rest]);
    this.#canAdopt = true;
    this.#isInSync = true;
  }

  /** Removes chains that nothing uses any more. */
  async #tidy(): Promise<void> {
    const { choosers } = this.#renderer;
    const { idle } = choosers;
    try {
      if (idle.length > 0) await this.#run([chainsRemovedText(idle)]);
      choosers.forget(idle);
    } catch (error) {
      this.#options.log.warn({ err: reasonOf(error) }, 'chains that nothing uses stay until they are tried again');
    }
    choosers.lookForIdle();
  }

  async #run(texts: readonly string[]): Promise<void> {
    const startMs = performance.now();
    try {
      await runNft(['-f', '-'], texts);
    } catch (error) {
      this.#figures.failures++;
      throw error;
    }
    const tookMs = performance.now() - startMs;
    this.#figures.applied++;
    this.#figures.appliedMs += tookMs;
    this.#figures.lastMs = tookMs;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

const flushes = [...setSpecs]
  .filter(([, { filledBy }]) => filledBy === 'plan')
  .map(([name, { form }]) => `flush ${form} ${table} ${name}\n`)
  .join('');

const flowsNotMoved: Problem = {
  code: 'UdpFlowsNotMoved',
  severity: 'error',
  source: { kind: 'Edge', namespace: '', name: '' },
  message:
    'More UDP flows have to leave their endpoints than the node can remember, so some go on to endpoints that went.',
  hint: 'They move when others have ended, or when their clients take another port; replace fewer pods at a time.',
};
