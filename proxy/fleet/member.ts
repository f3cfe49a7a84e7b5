import { type ChildProcess, fork, type SendHandle } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Log } from '#kit/log.ts';
import type { SocketHandle } from '../listen/sockets.ts';
import type { MetricsSnapshot } from '../observe/metrics.ts';
import type { Delta } from '../receive/changes.ts';
import type { AffinityEntry } from '../share/affinity.ts';
import type { Ask, FromWorker, Tell } from './messages.ts';

/** How a worker process ended. */
export interface MemberExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface MemberOptions {
  readonly log: Log;
  readonly codeCache: string | null;
  onAffinity(entries: readonly AffinityEntry[]): void;
  onExit(exit: MemberExit): void;
}

/** What came of a question. */
type Answer = Extract<FromWorker, { type: 'done' }>;

/** The worker said that it could not do what it was asked; it lives on. */
export class WorkerRefused extends Error {}

/** The worker ended before it answered. */
export class WorkerGone extends Error {}

/** One worker process, from fork to exit, as the primary sees it. */
export class Member {
  readonly startedMs = performance.now();
  /** The newest counters that it told of; they outlive it. */
  snapshot: MetricsSnapshot | null = null;
  readonly #child: ChildProcess;
  readonly #log: Log;
  readonly #answers = new Map<number, { resolve(answer: Answer): void; reject(error: Error): void }>();
  /** Not handed to the channel yet; what it was handed and has not written is one message. */
  readonly #unsent: { readonly message: object; readonly handle: SocketHandle | undefined }[] = [];
  #isSending = false;
  #sequence = 0;
  #hasExited = false;

  constructor(options: MemberOptions) {
    this.#log = options.log;
    this.#child = fork(workerFile, [], {
      execPath: process.execPath,
      execArgv: workerFlags,
      env: options.codeCache === null ? process.env : { ...process.env, NODE_COMPILE_CACHE: options.codeCache },
      serialization: 'advanced',
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.#child.on('message', (message) => this.#heard(message as FromWorker, options));
    this.#child.on('error', (error) => {
      this.#log.error({ pid: this.pid, err: error.message }, 'worker process');
      // A fork that failed has no exit to wait for.
      if (this.#child.pid === undefined) this.#ended({ code: null, signal: null }, options);
    });
    this.#child.once('exit', (code, signal) => this.#ended({ code, signal }, options));
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /**
   * Messages are taken by the worker in the order of sending, so asking again need not wait for the first answer.
   * @throws WorkerRefused, WorkerGone
   */
  ask(question: Ask, handle?: SocketHandle): Promise<Answer> {
    if (this.#hasExited) return Promise.reject(new WorkerGone(`worker ${this.pid} ended`));
    const sequence = ++this.#sequence;
    const answered = new Promise<Answer>((resolve, reject) => this.#answers.set(sequence, { resolve, reject }));
    this.#send({ ...question, sequence }, handle);
    return answered;
  }

  /** Asks to apply a change. A large one goes in parts, so that not all of it is held as bytes at once. */
  apply({ upserts, deletes }: Delta, hash: string): Promise<Answer> {
    const parts = partsOf(upserts);
    const last = parts.pop() ?? [];
    for (const part of parts) this.tell({ type: 'part', upserts: part });
    return this.ask({ type: 'apply', delta: { upserts: last, deletes }, hash });
  }

  tell(message: Tell): void {
    this.#send(message);
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #ended(exit: MemberExit, { onExit }: MemberOptions): void {
    this.#hasExited = true;
    for (const answer of this.#answers.values()) answer.reject(new WorkerGone(`worker ${this.pid} ended`));
    this.#answers.clear();
    onExit(exit);
  }

  #send(message: object, handle?: SocketHandle): void {
    this.#unsent.push({ message, handle });
    if (!this.#isSending) this.#sendNext();
  }

  #sendNext(): void {
    // Of one that is not connected the exit is on the way, and rejects what was asked.
    const next = this.#child.connected ? this.#unsent.shift() : undefined;
    this.#isSending = next !== undefined;
    if (next === undefined) return;
    this.#child.send(next.message, next.handle as unknown as SendHandle, {}, (error) => {
      if (error) this.#log.debug({ pid: this.pid, err: error.message }, 'worker no longer listens');
      this.#sendNext();
    });
  }

  #heard(message: FromWorker, options: MemberOptions): void {
    if (message.type === 'affinity') {
      options.onAffinity(message.entries);
      return;
    }
    if (message.type === 'log') {
      this.#log[message.level]({ pid: this.pid, ...message.fields }, message.message);
      return;
    }
    const answer = this.#answers.get(message.sequence);
    this.#answers.delete(message.sequence);
    if (message.type === 'failed') {
      answer?.reject(new WorkerRefused(message.message));
      return;
    }
    if (message.snapshot !== undefined) this.snapshot = message.snapshot;
    answer?.resolve(message);
  }
}

/** Rows and endpoints of one message: some 300 KB. */
const partSize = 1_000;

function partsOf(rows: Delta['upserts']): Delta['upserts'][] {
  const parts: Delta['upserts'][] = [];
  let room = 0;
  for (const row of rows) {
    if (room <= 0) {
      parts.push([]);
      room = partSize;
    }
    parts.at(-1)?.push(row);
    room -= row.kind === 'endpoints' ? 1 + row.row.endpoints.length : 1;
  }
  return parts;
}

const workerFile = fileURLToPath(new URL('../worker.ts', import.meta.url));

/**
 * Every worker has the same command line: node derives the session id context of TLS servers from it, and a session is
 * resumed only under the context that issued it.
 * The regex flag makes V8 fall over to its linear engine when a pattern backtracks without end (match/regex.ts).
 * New objects get a space that stays in the processor's own cache: a small GET costs 9 % less with 2 MiB than with 4 to 32,
 * bodies, TLS and many slow requests at once the same (measured on a machine with 2 MiB of it).
 * The heap may grow to four times what is in use before all of it is collected, as V8 lets heaps grow at the most: it is small, and
 * connections come and go by thousands. With V8's own choice a flood of TLS handshakes brought on a collection of everything, 10 to
 * 20 ms on one core, every few hundred connections, and was seen by every other client (p99 of 2.5 ms became 10 to 26; now 3).
 * One thread helps to collect and to compile, not four: where each worker has a core of its own to live on, four take a slice of it
 * one after the other while requests wait (a collection of everything kept them for 10 to 17 ms at a time, and now for 4).
 * The functions that a request goes through are put into each other further than V8 would do by itself: the JavaScript of a small
 * GET takes 5 % less, all of it 2 to 3 %.
 */
const workerFlags = [
  '--disable-sigusr1',
  '--disable-proto=delete',
  '--disable-warning=ExperimentalWarning',
  '--enable-experimental-regexp-engine-on-excessive-backtracks',
  '--max-semi-space-size=2',
  '--heap-growing-percent=300',
  '--v8-pool-size=1',
  '--max-inlined-bytecode-size=1200',
  '--max-inlined-bytecode-size-cumulative=4000',
  '--expose-gc',
];
