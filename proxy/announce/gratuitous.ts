import { type ChildProcess, spawn } from 'node:child_process';
import type { Target } from './prober.ts';

export interface GratuitousFigures {
  readonly arp: number;
  readonly ndp: number;
}

/**
 * Tells neighbours that an address is here now: ARP as request and as reply, since some hear only one of them, and unsolicited
 * neighbour advertisements. At once, and again soon, since one may be lost; then for ever, for switches that forget.
 */
export class Gratuitous {
  /** Names of programs that are not there. */
  readonly missing = new Set<string>();
  readonly #figures = { arp: 0, ndp: 0 };
  /** By address. */
  readonly #told = new Map<string, { target: Target; round: number; dueMs: number }>();
  readonly #queue: { readonly address: string; readonly command: readonly string[] }[] = [];
  readonly #running = new Set<ChildProcess>();

  get figures(): GratuitousFigures {
    return this.#figures;
  }

  /** Begins with the first telling, or begins again. */
  start(target: Target): void {
    this.#told.set(target.address, { target, round: 0, dueMs: 0 });
    this.look();
  }

  stop(address: string): void {
    this.#told.delete(address);
  }

  /** Tells what is due. To be called several times a second. */
  look(): void {
    const nowMs = performance.now();
    for (const telling of this.#told.values()) {
      if (telling.dueMs > nowMs) continue;
      telling.dueMs = nowMs + (pausesMs[telling.round++] ?? laterPauseMs);
      this.#tell(telling.target);
    }
  }

  close(): void {
    this.#told.clear();
    this.#queue.length = 0;
    for (const child of this.#running) child.kill('SIGKILL');
  }

  #tell({ address, link }: Target): void {
    if (address.includes(':')) {
      this.#figures.ndp++;
      this.#queue.push({ address, command: ['ndptool', '-t', 'na', '-U', '-T', address, '-i', link, 'send'] });
    } else {
      this.#figures.arp += 2;
      for (const mode of ['-U', '-A']) {
        this.#queue.push({ address, command: ['arping', '-q', mode, '-c', '1', '-I', link, address] });
      }
    }
    this.#next();
  }

  #next(): void {
    while (this.#running.size < atOnce) {
      const due = this.#queue.shift();
      if (due === undefined) return;
      const [program, ...args] = due.command;
      // It may have gone to another node while it waited.
      if (program === undefined || !this.#told.has(due.address)) continue;
      // arping would wait for a second for answers that nobody wants.
      const child = spawn(program, args, { stdio: 'ignore', timeout: longEnoughMs, killSignal: 'SIGKILL' });
      this.#running.add(child);
      child.on('error', (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') this.missing.add(program);
        this.#ended(child);
      });
      child.on('close', () => {
        if (child.pid !== undefined) this.missing.delete(program);
        this.#ended(child);
      });
    }
  }

  #ended(child: ChildProcess): void {
    if (this.#running.delete(child)) this.#next();
  }
}

/** After each telling until the next. */
const pausesMs = [1_000, 1_000, 2_000];
const laterPauseMs = 30_000;
const atOnce = 16;
const longEnoughMs = 250;
