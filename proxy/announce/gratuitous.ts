import type { ChildProcess } from 'node:child_process';
import { startTool } from '../edge/tool.ts';
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
  readonly #running = new Set<ChildProcess>();
  /** How many addresses are being told. */
  #telling = 0;

  get figures(): GratuitousFigures {
    return this.#figures;
  }

  /** Begins with the first telling, or begins again. */
  start(target: Target): void {
    this.#told.set(target.address, { target, round: 0, dueMs: 0 });
    // Those that are begun together are told together.
    queueMicrotask(() => this.look());
  }

  stop(address: string): void {
    this.#told.delete(address);
  }

  /** Tells what is due, and first of all what was not told yet. To be called several times a second. */
  look(): void {
    const nowMs = performance.now();
    const due = [...this.#told.values()].filter(({ dueMs }) => dueMs <= nowMs).sort((a, b) => a.round - b.round);
    const now = due.slice(0, atOnce - this.#telling);
    for (const telling of now) {
      telling.dueMs = nowMs + (pausesMs[telling.round++] ?? laterPauseMs);
      if (telling.target.address.includes(':')) this.#figures.ndp++;
      else this.#figures.arp += 2;
    }
    if (now.length > 0) this.#tell(now.map(({ target }) => target));
  }

  close(): void {
    this.#told.clear();
    for (const child of this.#running) child.kill('SIGKILL');
  }

  #tell(targets: readonly Target[]): void {
    const words = targets.flatMap(({ link, address }) => [link, address]);
    const child = startTool('sh', ['-c', script, 'sh', ...words], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: longEnoughMs,
      killSignal: 'SIGKILL',
    });
    if (child instanceof Error) return;
    this.#running.add(child);
    this.#telling += targets.length;
    let missing = '';
    child.stdout?.on('data', (names: Buffer) => {
      missing += names.toString();
    });
    child.on('error', () => this.#ended(child, targets, ''));
    child.on('close', () => this.#ended(child, targets, missing));
  }

  #ended(child: ChildProcess, targets: readonly Target[], missing: string): void {
    if (!this.#running.delete(child)) return;
    this.#telling -= targets.length;
    for (const { address } of targets) {
      const program = address.includes(':') ? 'ndptool' : 'arping';
      if (missing.includes(program)) this.missing.add(program);
      else this.missing.delete(program);
    }
    this.look();
  }
}

/**
 * Takes links and addresses in turn. One shell starts them all, because a start costs the agent several milliseconds in which
 * it hears nobody, and a shell hardly any. arping sends at once and then waits for a second for answers that nobody wants,
 * which no option of it shortens: whole seconds are the least that it takes.
 */
const script = `
for program in arping ndptool; do command -v $program >/dev/null || echo $program; done
while [ $# -gt 0 ]; do
  case $2 in
    *:*) ndptool -t na -U -T "$2" -i "$1" send >/dev/null & ;;
    *) for mode in -U -A; do arping -q $mode -c 1 -I "$1" "$2" >/dev/null & done ;;
  esac
  shift 2
done
wait
`;

/** After each telling until the next. */
const pausesMs = [1_000, 1_000, 2_000];
const laterPauseMs = 30_000;
/** Each takes a second, and two processes that sleep. */
const atOnce = 256;
const longEnoughMs = 10_000;
