import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import { doingOf } from '../fleet/doing.ts';
import { Control } from './control.ts';
import { files } from './files.ts';
import type { Reply } from './reply.ts';

export interface BirdOptions {
  /** Folder of its files: those of one BIRD, and the way to find it again. */
  readonly dir: string;
  /** It is there: found, started, or started again. */
  onUp(): void;
  /** After it has died, how long routers may still believe that it lives, ms; it is not started before. */
  restartDelayMs(): number;
  readonly log: Log;
}

/**
 * A BIRD that lives longer than the process that started it: the next agent finds it by its socket. When it dies it is started
 * again, so that routers that know graceful restart keep their routes meanwhile; when it hangs it is made to die.
 */
export class Bird {
  readonly #options: BirdOptions;
  #control: Control | null = null;
  #isKept = false;
  #keeping: Promise<void> | null = null;
  /** Ends the wait for the next attempt. */
  #wake = new AbortController();
  /** Times that it was started, the first included. */
  starts = 0;
  /** Why it is not there; null: it is, or nobody wanted it. */
  downReason: string | null = null;

  constructor(options: BirdOptions) {
    this.#options = options;
  }

  get isUp(): boolean {
    return this.#control !== null;
  }

  get version(): string | null {
    return this.#control?.version ?? null;
  }

  /** Looks for one that an earlier agent has left. One that hangs is ended. */
  async find(): Promise<boolean> {
    if (this.#control !== null) return true;
    const { dir, log } = this.#options;
    try {
      const control = await Control.open(join(dir, files.socket), () =>
        doingOf(Number(readIfThere(join(dir, files.pid)))),
      );
      this.#control = control;
      this.downReason = null;
      control.closed.then(() => this.#lost(control));
      return true;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ECONNREFUSED') return false;
      log.warn({ err: reasonOf(error) }, 'BIRD does not answer; it is started anew');
      await this.kill();
      return false;
    }
  }

  /** Sees to it that there is one from now on. Its files are there. Resolves after the first attempt, or when that has to wait. */
  async keep(): Promise<void> {
    this.#isKept = true;
    if (this.#control !== null || this.#keeping !== null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#startReviving(resolve);
    await promise;
  }

  /** @throws when it is not there, goes away or hangs */
  async ask(command: string): Promise<Reply> {
    const control = this.#control;
    if (control === null) throw new Error(this.downReason ?? 'BIRD does not run');
    try {
      return await control.ask(command);
    } catch (error) {
      control.close();
      if (control.isHung) await this.kill();
      throw error;
    }
  }

  /** Ends it as routers like it: each is told that the routes go. */
  async end(): Promise<void> {
    this.#isKept = false;
    this.#wake.abort();
    await this.#keeping;
    this.downReason = null;
    const control = this.#control;
    if (control === null) return;
    await control.ask('down').catch(() => {});
    await Promise.race([control.closed, sleep(endMs, undefined, { ref: false })]);
    if (this.#control === control) await this.kill();
  }

  /** Leaves it alone; it goes on. */
  leave(): void {
    this.#isKept = false;
    this.#wake.abort();
    this.#control?.close();
  }

  /** By force, and only if it is the one of this folder. */
  async kill(): Promise<void> {
    const { dir } = this.#options;
    const pid = Number(readIfThere(join(dir, files.pid)));
    if (!(pid > 1) || !isBirdOf(pid, dir)) return;
    process.kill(pid, 'SIGKILL');
    const deadlineMs = performance.now() + endMs;
    while (isBirdOf(pid, dir) && performance.now() < deadlineMs) await sleep(pollMs);
  }

  #lost(control: Control): void {
    if (this.#control !== control) return;
    this.#control = null;
    if (!this.#isKept) return;
    this.downReason = 'it has ended';
    this.#options.log.warn({}, 'BIRD is gone; it is started again');
    if (this.#keeping === null) this.#startReviving(() => {});
  }

  #startReviving(onAttempt: () => void): void {
    this.#wake = new AbortController();
    this.#keeping = this.#revive(onAttempt).finally(() => {
      this.#keeping = null;
      onAttempt();
    });
  }

  async #revive(onAttempt: () => void): Promise<void> {
    const { onUp, log } = this.#options;
    for (let waitMs = firstWaitMs; this.#isKept; waitMs = Math.min(2 * waitMs, lastWaitMs)) {
      try {
        if (!(await this.find())) await this.#start(onAttempt);
        if (this.#control !== null) onUp();
      } catch (error) {
        if (!this.#isKept) return;
        if (this.downReason !== reasonOf(error)) log.error({ err: reasonOf(error) }, 'BIRD cannot be started');
        this.downReason = reasonOf(error);
      }
      onAttempt();
      if (this.#control !== null) return;
      await sleep(waitMs, undefined, { ref: false, signal: this.#wake.signal }).catch(() => {});
    }
  }

  async #start(onWait: () => void): Promise<void> {
    const { dir, log, restartDelayMs } = this.#options;
    // One that ends in order takes its pid file along; after another end routers may still hold its routes.
    const isRestart = existsSync(join(dir, files.pid));
    if (isRestart) {
      // By BFD that may be minutes, and plans come meanwhile.
      onWait();
      await sleep(restartDelayMs(), undefined, { ref: false, signal: this.#wake.signal });
    }
    const args = ['-f', ...(isRestart ? ['-R'] : []), '-c', files.main, '-s', files.socket, '-P', files.pid];
    const output = openSync(join(dir, files.startLog), 'w', 0o600);
    // Of our environment, which may hold passwords, it needs no more than to be found.
    const env = { PATH: process.env['PATH'] };
    let child: ChildProcess;
    try {
      child = spawn('bird', args, { cwd: dir, env, detached: true, stdio: ['ignore', output, output] });
    } finally {
      // Where the kernel has no room for another process spawn() throws, and the next attempt follows.
      closeSync(output);
    }
    // Without one it could not be started, and why is on its way.
    if (child.pid !== undefined) {
      this.starts++;
      log.info({ pid: child.pid, isRestart }, 'BIRD started');
    }
    const early = endOf(child);
    child.unref();
    const deadlineMs = performance.now() + startMs;
    while (!(await this.find())) {
      const end = await Promise.race([early, sleep(pollMs, null)]);
      if (end !== null) throw new Error(this.#saidBy(end));
      if (performance.now() > deadlineMs) {
        child.kill('SIGKILL');
        throw new Error('it does not open its control socket');
      }
    }
  }

  #saidBy(end: string): string {
    const said = readIfThere(join(this.#options.dir, files.startLog)).trim().split('\n').at(-1) ?? '';
    return said === '' ? end : `${end}: ${said.slice(0, maxReason)}`;
  }
}

/** Resolves with why, when it ends. */
function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'ENOENT' ? 'bird is not installed' : `bird cannot be started (${code})`);
    });
    child.once('exit', (code, signal) => resolve(`bird ended with ${code ?? signal}`));
  });
}

function isBirdOf(pid: number, dir: string): boolean {
  try {
    return (
      readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'bird' &&
      readlinkSync(`/proc/${pid}/cwd`) === realpathSync(dir)
    );
  } catch {
    return false;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

const firstWaitMs = 100;
const lastWaitMs = 10_000;
/** How long it may take to open its socket, and to end. */
const startMs = 10_000;
const endMs = 5_000;
const pollMs = 10;
const maxReason = 300;
