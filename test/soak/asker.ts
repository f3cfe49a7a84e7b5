/** Asks at a rate, whether answers come or not; in a process of its own, told by messages (overload.ts). */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface Plan {
  readonly port: number;
  readonly isTls: boolean;
  /** Connections that are kept; 0: each request has one of its own. */
  readonly kept: number;
  /** Addresses that it asks from, in turn. */
  readonly sources: number;
  readonly perSecond: number;
  readonly seconds: number;
  /** A request that takes longer than this, or is not served, says that all is not well yet, ms. */
  readonly calmMs: number;
}

/** Rates are per second; what came after the time was not served at this rate. */
export interface Outcome {
  readonly served: number;
  /** Told that there is too much, or a new connection that was closed at once. */
  readonly refused: number;
  /** Not answered, or cut off on a connection that is kept. */
  readonly failed: number;
  /** From the moment at which each was due. */
  readonly servedP99Ms: number;
  readonly refusedP99Ms: number;
  /** When the last request was due that was not served within calmMs. */
  readonly calmAfterMs: number;
}

const patienceMs = 3_000;
type Kind = 'served' | 'refused' | 'failed';

/** Too much; 502 is what nginx says. */
const refusals = new Set(['429', '502', '503']);

interface Asker {
  readonly socket: Socket;
  /** Of the request that it waits for; -1: none. */
  dueMs: number;
  text: string;
}

class Asking {
  readonly #plan: Plan;
  readonly #waits: Record<Kind, number[]> = { served: [], refused: [], failed: [] };
  readonly #idle: Asker[] = [];
  readonly #owed: number[] = [];
  readonly #startMs = performance.now();
  #unquietMs = 0;
  #pending = 0;
  #opened = 0;
  #isOver = false;

  constructor(plan: Plan) {
    this.#plan = plan;
    for (let i = 0; i < plan.kept; i++) this.#open(-1);
  }

  async run(): Promise<Outcome> {
    const { perSecond, seconds } = this.#plan;
    for (let count = 0; ; ) {
      const elapsedMs = performance.now() - this.#startMs;
      if (elapsedMs > seconds * 1000) break;
      for (; count < (elapsedMs * perSecond) / 1000; count++) this.#due(this.#startMs + (count * 1000) / perSecond);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    const [served, refused] = [this.#waits.served.length, this.#waits.refused.length];
    this.#isOver = true;
    this.#owed.length = 0;
    const untilMs = performance.now() + patienceMs;
    while (this.#pending > 0 && performance.now() < untilMs) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const { socket } of this.#idle) socket.destroy();
    return {
      served: served / seconds,
      refused: refused / seconds,
      failed: this.#waits.failed.length / seconds,
      servedP99Ms: p99(this.#waits.served),
      refusedP99Ms: p99(this.#waits.refused),
      calmAfterMs: this.#unquietMs,
    };
  }

  #due(dueMs: number): void {
    if (this.#plan.kept === 0) {
      this.#open(dueMs);
      return;
    }
    const asker = this.#idle.pop();
    if (asker === undefined) this.#owed.push(dueMs);
    else this.#ask(asker, dueMs);
  }

  /** @param dueMs of the request that it is opened for; -1: none */
  #open(dueMs: number): void {
    const { port, isTls, sources } = this.#plan;
    const nth = this.#opened++ % sources;
    const where = { port, host: '127.0.0.1', localAddress: `127.0.${nth >> 7}.${(nth & 127) + 1}` };
    const socket = isTls ? connectTls({ ...where, servername: 'gw.test', rejectUnauthorized: false }) : connect(where);
    const asker: Asker = { socket, dueMs: -1, text: '' };
    socket.setTimeout(patienceMs, () => {
      if (asker.dueMs >= 0) socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('data', (bytes: Buffer) => {
      asker.text += bytes.toString('latin1');
      this.#look(asker);
    });
    socket.on('close', () => this.#gone(asker));
    if (dueMs >= 0) this.#ask(asker, dueMs);
    else socket.once(isTls ? 'secureConnect' : 'connect', () => this.#free(asker));
  }

  #free(asker: Asker): void {
    const owed = this.#owed.shift();
    if (owed !== undefined) this.#ask(asker, owed);
    else this.#idle.push(asker);
  }

  #ask(asker: Asker, dueMs: number): void {
    this.#pending++;
    asker.dueMs = dueMs;
    asker.text = '';
    asker.socket.write(`GET / HTTP/1.1\r\nHost: gw.test\r\n${this.#plan.kept > 0 ? '' : 'Connection: close\r\n'}\r\n`);
  }

  #look(asker: Asker): void {
    const { text, socket } = asker;
    const end = text.indexOf('\r\n\r\n');
    if (end < 0 || text.length < end + 4 + Number(/content-length: *(\d+)/i.exec(text)?.[1] ?? 0)) return;
    this.#ended(asker, refusals.has(text.slice(9, 12)) ? 'refused' : 'served');
    if (this.#plan.kept === 0 || /connection: *close/i.test(text.slice(0, end))) socket.end();
    else this.#free(asker);
  }

  #gone(asker: Asker): void {
    const isClosed = this.#plan.kept === 0 && performance.now() - asker.dueMs < patienceMs;
    if (asker.dueMs >= 0) this.#ended(asker, isClosed ? 'refused' : 'failed');
    const at = this.#idle.indexOf(asker);
    if (at >= 0) this.#idle.splice(at, 1);
    if (this.#plan.kept > 0 && !this.#isOver) this.#open(-1);
  }

  #ended(asker: Asker, kind: Kind): void {
    this.#pending--;
    this.#note(kind, asker.dueMs);
    asker.dueMs = -1;
  }

  #note(kind: Kind, dueMs: number): void {
    const waitMs = performance.now() - dueMs;
    this.#waits[kind].push(waitMs);
    if (kind !== 'served' || waitMs > this.#plan.calmMs) {
      this.#unquietMs = Math.max(this.#unquietMs, dueMs - this.#startMs);
    }
  }
}

function p99(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * 0.99)] ?? 0;
}

process.on('message', async (plan: Plan) => process.send?.(await new Asking(plan).run()));
process.on('disconnect', () => process.exit(0));
