import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Netns } from './netns.ts';
import type { Gap, Task } from './netpeer.ts';

/** A process in a namespace that answers what it is sent, in any order. */
export class RemoteProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: never) => void; reject: (error: Error) => void }>();
  #last = 0;

  /** @param file below test/kit */
  constructor(netns: Netns, file: string) {
    const [ip = '', ...args] = [...netns.entry, process.execPath, join(import.meta.dirname, file)];
    this.#child = spawn(ip, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', ({ id, result, error }: { id: number; result?: never; error?: string }) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result as never);
      else waiting?.reject(new Error(error));
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${file} ended with ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  send<T>(message: object): Promise<T> {
    const id = ++this.#last;
    return new Promise<T>((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as never, reject });
      this.#child.send({ ...message, id }, (error) => error && reject(error));
    });
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Ends the process and waits until it is gone. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill(signal);
    await gone;
  }
}

/** A client or server in a namespace. */
export class Peer {
  readonly netns: Netns;
  readonly #process: RemoteProcess;

  constructor(netns: Netns) {
    this.netns = netns;
    this.#process = new RemoteProcess(netns, 'netpeer.ts');
  }

  serve(task: Task['serve']): Promise<void> {
    return this.#do('serve', task);
  }

  ask(task: Task['ask']): Promise<string[]> {
    return this.#do('ask', task);
  }

  askFromMany(task: Task['askFromMany']): Promise<string[]> {
    return this.#do('askFromMany', task);
  }

  hold(task: Task['hold']): Promise<string[]> {
    return this.#do('hold', task);
  }

  poke(): Promise<number> {
    return this.#do('poke', {});
  }

  gap(task: Task['gap']): Promise<Gap> {
    return this.#do('gap', task);
  }

  http(url: string): Promise<{ status: number; body: string }> {
    return this.#do('http', { url });
  }

  end(): Promise<void> {
    return this.#process.end();
  }

  #do<K extends keyof Task, T>(kind: K, task: Task[K]): Promise<T> {
    return this.#process.send({ kind, task });
  }
}
