/**
 * Open- or closed-loop HTTP/1.1 load over raw sockets. Started by load.ts with a LoadPlan as its argument; says `ready` when
 * its connections are open, then runs once for each line of standard input (LoadRun) and answers with a line (LoadResult).
 *
 * A rate keeps the work of every peer the same (open loop: latency counts from the scheduled moment, so that a stalled peer
 * is not spared). Rate 0 is the closed loop: each connection sends its next request when the answer is complete.
 */
import { createInterface } from 'node:readline';
import { Connection } from './connection.ts';

export interface LoadPlan {
  readonly port: number;
  readonly isTls: boolean;
  readonly connections: number;
  /** Hosts h0.bench … h(n-1).bench, drawn at random. */
  readonly hosts: number;
  /** Paths /p0/ … /p(n-1)/ below `path`, drawn at random; 1: `path` itself. */
  readonly paths: number;
  readonly path: string;
  /** Longer than 0: POST. */
  readonly bodyBytes: number;
  /** A new connection for each request. */
  readonly isFreshEach: boolean;
  /** A new TLS connection resumes the session of an earlier one. */
  readonly isResumed: boolean;
  /** WebSockets; for holder.ts alone. */
  readonly isUpgraded: boolean;
}

export interface LoadRun {
  /** Requests per second over all connections; 0: closed loop. */
  readonly rate: number;
  readonly seconds: number;
}

export interface LoadResult {
  readonly requests: number;
  readonly failed: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
}

const fields =
  'User-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en-US,en;q=0.9\r\n' +
  'Cache-Control: no-cache\r\nCookie: session=0123456789abcdef; theme=dark\r\nReferer: http://bench/start\r\n' +
  'Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nX-Client: bench\r\n';

/** Waits for due requests without a timer: those of node are a millisecond coarse, and bursts would be measured. */
const nap = new Int32Array(new SharedArrayBuffer(4));
const napMs = 0.05;

export class Generator {
  readonly plan: LoadPlan;
  session: Buffer | undefined;
  readonly #tail: string;
  readonly #idle: Connection[] = [];
  readonly #owed: number[] = [];
  #isReady: (() => void) | null = null;
  #isRunning = false;
  #rate = 0;
  #scheduled = 0;
  #startedAtMs = 0;
  #opened = 0;
  #busy = 0;
  #done = 0;
  #failed = 0;
  #latencies: number[] = [];

  constructor(plan: LoadPlan) {
    this.plan = plan;
    const close = plan.isFreshEach ? 'Connection: close\r\n' : '';
    const body = plan.bodyBytes === 0 ? '' : 'x'.repeat(plan.bodyBytes);
    const length = plan.bodyBytes === 0 ? '' : `Content-Type: text/plain\r\nContent-Length: ${plan.bodyBytes}\r\n`;
    this.#tail = `${fields}${close}${length}\r\n${body}`;
  }

  /** Opens the connections that are kept; one, where each request has its own, for the session to resume. */
  async open(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#isReady = resolve;
    const count = this.plan.isFreshEach ? 1 : this.plan.connections;
    for (let i = 0; i < count; i++) this.#connect(-1);
    await promise;
  }

  async run({ rate, seconds }: LoadRun): Promise<LoadResult> {
    this.#rate = rate;
    this.#scheduled = this.#done = this.#failed = 0;
    this.#latencies = [];
    this.#startedAtMs = performance.now();
    this.#isRunning = true;
    if (rate === 0) this.#fill();
    else this.#pump();
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    this.#isRunning = false;
    // What was due has waited for its connection: to forget it would spare a peer that stalls at the end.
    const isLeft = () => this.#busy > 0 || this.#owed.length > 0;
    const patienceMs = performance.now() + 1000;
    while (isLeft() && performance.now() < patienceMs) await new Promise((resolve) => setTimeout(resolve, 1));
    this.#failed += this.#busy + this.#owed.splice(0).length;
    const sorted = Float64Array.from(this.#latencies).sort();
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
    return {
      requests: this.#done,
      failed: this.#failed,
      seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      p999Ms: at(0.999),
    };
  }

  /** A connection can take a request. */
  ready(connection: Connection): void {
    if (this.#isReady !== null && ++this.#opened === (this.plan.isFreshEach ? 1 : this.plan.connections)) {
      this.#isReady();
      this.#isReady = null;
    }
    if (connection.owedAtMs >= 0) {
      this.#send(connection, connection.owedAtMs);
      return;
    }
    const owedAtMs = this.#owed.shift();
    if (owedAtMs !== undefined) this.#send(connection, owedAtMs);
    else if (this.#isRunning && this.#rate === 0) this.#send(connection, performance.now());
    else this.#idle.push(connection);
  }

  finished(connection: Connection, isWhole: boolean): void {
    this.#busy--;
    if (isWhole) {
      this.#done++;
      this.#latencies.push(performance.now() - connection.sentAtMs);
    } else {
      this.#failed++;
    }
    if (isWhole && connection.isKept) {
      this.ready(connection);
      return;
    }
    if (this.#isRunning && this.#rate === 0) this.#connect(performance.now());
    else if (!this.plan.isFreshEach) this.#connect(-1);
  }

  /** An idle connection is gone. */
  gone(connection: Connection): void {
    const at = this.#idle.indexOf(connection);
    if (at < 0) return;
    this.#idle.splice(at, 1);
    if (!this.plan.isFreshEach) this.#connect(-1);
  }

  #fill(): void {
    const waiting = this.#idle.splice(0);
    if (!this.plan.isFreshEach) for (const connection of waiting) this.#send(connection, performance.now());
    else for (let i = 0; i < this.plan.connections; i++) this.#connect(performance.now());
  }

  /** Sends what is due, and looks again as soon as the sockets have been looked at. */
  readonly #pump = (): void => {
    if (!this.#isRunning) return;
    const due = Math.floor(((performance.now() - this.#startedAtMs) / 1000) * this.#rate);
    if (this.#scheduled === due) Atomics.wait(nap, 0, 0, napMs);
    for (; this.#scheduled < due; this.#scheduled++) {
      // The first is due when its share of a second is over, as `due` counts.
      const atMs = this.#startedAtMs + ((this.#scheduled + 1) / this.#rate) * 1000;
      if (this.plan.isFreshEach) {
        this.#connect(atMs);
        continue;
      }
      const connection = this.#idle.shift();
      if (connection) this.#send(connection, atMs);
      else this.#owed.push(atMs);
    }
    setImmediate(this.#pump);
  };

  /** @param owedAtMs when the request was due that it is opened for; -1: none */
  #connect(owedAtMs: number): void {
    if (owedAtMs >= 0) this.#busy++;
    new Connection(this, owedAtMs);
  }

  #send(connection: Connection, atMs: number): void {
    const { hosts, paths, path, bodyBytes } = this.plan;
    if (connection.owedAtMs < 0) this.#busy++;
    const host = hosts === 1 ? 0 : Math.floor(Math.random() * hosts);
    const target = paths === 1 ? path : `/p${Math.floor(Math.random() * paths)}${path}`;
    const start = `${bodyBytes === 0 ? 'GET' : 'POST'} ${target} HTTP/1.1\r\nHost: h${host}.bench\r\n`;
    connection.send(start + this.#tail, atMs);
  }
}

const generator = new Generator(JSON.parse(process.argv[2] ?? '{}') as LoadPlan);
await generator.open();
process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await generator.run(JSON.parse(line) as LoadRun))}\n`);
}
process.exit(0);
