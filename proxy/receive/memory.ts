import type { Log } from '#kit/log.ts';
import type { Commit } from '#table/change.ts';
import type { AnyKinds } from '#table/contract.ts';
import type { TableDisk } from './disk.ts';
import type { Intake } from './intake.ts';

/** Keeps the copy on disk like the tables in force, off the path of a change. */
export class Memory<M extends AnyKinds> {
  readonly #disk: TableDisk<M>;
  readonly #log: Log;
  #timer: NodeJS.Timeout | null = null;
  #encodeMs = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(disk: TableDisk<M>, log: Log) {
    this.#disk = disk;
    this.#log = log;
  }

  /** @returns what the tables on disk hold, for the guard against the past; null when there are none that can be read */
  async recall(intake: Intake<M>, afterMs: number): Promise<Commit | null> {
    try {
      const batch = await this.#disk.load();
      if (batch === null) return null;
      // A controller that answers soon has fresher tables; starting from old endpoints would cost failed requests.
      setTimeout(() => void intake.takeAsFirst(batch), afterMs).unref();
      return batch.commit;
    } catch (error) {
      this.#log.error({ err: (error as Error).message }, 'saved tables cannot be used');
      return null;
    }
  }

  /** Changes of one second share one write; of a large table, of as long as keeps this below a fiftieth of a core. */
  changed(intake: Intake<M>): void {
    this.#timer ??= setTimeout(() => void this.#save(intake), saveAfterMs + 50 * this.#encodeMs);
  }

  /** Writes what is not written yet. */
  async close(intake: Intake<M>): Promise<void> {
    if (this.#timer !== null) await this.#save(intake);
    await this.#writing;
  }

  async #save(intake: Intake<M>): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing
      .then(async () => {
        const saving = await intake.inTurn(async () => {
          return intake.commit === null ? null : this.#disk.take(intake.table, intake.commit);
        });
        if (saving !== null) this.#encodeMs = await this.#disk.write(saving);
      })
      .catch((error: Error) => {
        this.#log.error({ err: error.message }, 'tables not saved');
      });
    await this.#writing;
  }
}

const saveAfterMs = 1_000;
