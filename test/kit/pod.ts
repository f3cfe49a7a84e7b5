import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { within } from './wait.ts';

/** A backend process that answers with its name, and dies of any signal at once. */
export class Pod {
  readonly name: string;
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(name: string, port: number, child: ChildProcess) {
    this.name = name;
    this.port = port;
    this.#child = child;
  }

  static async start(name: string): Promise<Pod> {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'podprocess.ts'), name], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = await within(once(child.stdout, 'data') as Promise<[Buffer]>, `pod ${name} to listen`);
    return new Pod(name, Number(line.toString()), child);
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill(signal);
    await within(gone, `pod ${this.name} to end`);
  }
}
