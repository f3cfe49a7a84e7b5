import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { freePorts } from './ports.ts';
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
    // While it is dead nobody else may come to listen there, nor may who tries to connect to it meet himself.
    const [port = 0] = await freePorts(1);
    const child = spawn(process.execPath, [join(import.meta.dirname, 'podprocess.ts'), name, `${port}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await within(once(child.stdout, 'data'), `pod ${name} to listen`);
    return new Pod(name, port, child);
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill(signal);
    await within(gone, `pod ${this.name} to end`);
  }
}
