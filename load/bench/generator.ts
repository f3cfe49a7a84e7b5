/**
 * Open- or closed-loop HTTP/1.1 load over raw sockets, one process, bounded in time.
 *
 * A fixed rate is the primary method: every peer then does the same work, and its CPU per request does not depend on
 * how fast the generator is (open loop, so a stalled peer is not spared). Rate 0 is the closed loop: each connection
 * sends its next request when the answer is complete.
 *
 * Started by main.ts as a child with one JSON argument; prints one JSON line.
 */
import { connect, type Socket } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';

export interface LoadPlan {
  port: number;
  isTls: boolean;
  connections: number;
  /** Requests per second over all connections; 0: closed loop. */
  rate: number;
  seconds: number;
  /** Hosts h0.bench … h(n-1).bench in turn. */
  hosts: number;
  path: string;
  /** true: a new connection for each request. */
  isFreshEach: boolean;
}

export interface LoadResult {
  requests: number;
  failed: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
}

const headers =
  'User-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en-US,en;q=0.9\r\n' +
  'Cache-Control: no-cache\r\nCookie: session=0123456789abcdef; theme=dark\r\nReferer: http://bench/start\r\n' +
  'Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: same-origin\r\nX-Client: bench\r\n';

class Connection {
  readonly socket: Socket | TLSSocket;
  private left = -1;
  private head = '';
  private sentAt = 0;
  isReady = false;
  isBusy = false;
  private readonly owner: Generator;

  constructor(owner: Generator) {
    this.owner = owner;
    const { port, isTls } = owner.plan;
    const onReady = () => {
      this.isReady = true;
      owner.ready(this);
    };
    this.socket = isTls
      ? tlsConnect({ port, host: '127.0.0.1', servername: 'h0.bench', rejectUnauthorized: false }, onReady)
      : connect({ port, host: '127.0.0.1' }, onReady);
    this.socket.setNoDelay(true);
    this.socket.on('data', (chunk: Buffer) => this.read(chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.isBusy) owner.finished(this, this.left === 0, this.sentAt);
      owner.gone(this);
    });
  }

  send(request: string, nowMs: number): void {
    this.isBusy = true;
    this.left = -1;
    this.head = '';
    this.sentAt = nowMs;
    this.socket.write(request, 'latin1');
  }

  private read(chunk: Buffer): void {
    let start = 0;
    if (this.left < 0) {
      const end = chunk.indexOf('\r\n\r\n');
      this.head += chunk.toString('latin1', 0, end < 0 ? chunk.length : end);
      if (end < 0) return;
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.head);
      if (!this.head.startsWith('HTTP/1.1 200') || !length) {
        this.owner.wrong(this.head.slice(0, 200));
        this.isBusy = false;
        this.socket.destroy();
        return;
      }
      this.left = Number(length[1]);
      start = end + 4;
    }
    this.left -= chunk.length - start;
    if (this.left > 0) return;
    this.isBusy = false;
    this.owner.finished(this, true, this.sentAt);
  }
}

class Generator {
  readonly plan: LoadPlan;
  private readonly idle: Connection[] = [];
  private readonly requests: string[];
  private readonly latencies: number[] = [];
  private connections = 0;
  private next = 0;
  private done = 0;
  private failed = 0;
  private wrongAnswers = 0;
  private isStopping = false;
  private scheduled = 0;
  private startedAt = 0;
  private owed: number[] = [];

  constructor(plan: LoadPlan) {
    this.plan = plan;
    const connection = plan.isFreshEach ? 'Connection: close\r\n' : '';
    this.requests = Array.from(
      { length: plan.hosts },
      (_, i) => `GET ${plan.path} HTTP/1.1\r\nHost: h${i}.bench\r\n${headers}${connection}\r\n`,
    );
  }

  async run(): Promise<LoadResult> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.startedAt = performance.now();
    if (!this.plan.isFreshEach || this.plan.rate === 0) {
      for (let i = 0; i < this.plan.connections; i++) this.open();
    }
    const tick = setInterval(() => this.pump(), 1);
    setTimeout(() => {
      this.isStopping = true;
      clearInterval(tick);
      setTimeout(resolve, 300);
    }, this.plan.seconds * 1000);
    await promise;
    const sorted = this.latencies.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
    return {
      requests: this.done,
      failed: this.failed + this.wrongAnswers,
      seconds: this.plan.seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
    };
  }

  ready(connection: Connection): void {
    if (this.isStopping) {
      connection.socket.destroy();
      return;
    }
    const owed = this.owed.shift();
    if (owed !== undefined) this.send(connection, owed);
    else if (this.plan.rate === 0) this.send(connection, performance.now());
    else this.idle.push(connection);
  }

  finished(connection: Connection, isWhole: boolean, sentAt: number): void {
    if (isWhole) {
      this.done++;
      this.latencies.push(performance.now() - sentAt);
    } else if (!this.isStopping) {
      this.failed++;
    }
    if (this.plan.isFreshEach) connection.socket.destroy();
    else if (!connection.socket.destroyed) this.ready(connection);
  }

  wrong(head: string): void {
    if (this.wrongAnswers++ === 0) process.stderr.write(`unexpected answer: ${head}\n`);
  }

  gone(connection: Connection): void {
    this.connections--;
    const at = this.idle.indexOf(connection);
    if (at >= 0) this.idle.splice(at, 1);
    if (this.isStopping) return;
    if (this.plan.rate === 0 || (!this.plan.isFreshEach && this.connections < this.plan.connections)) this.open();
  }

  /** Sends what the schedule says is due; latency counts from the scheduled moment, so queueing shows. */
  private pump(): void {
    if (this.plan.rate === 0) return;
    const now = performance.now();
    const due = Math.floor(((now - this.startedAt) / 1000) * this.plan.rate);
    for (; this.scheduled < due; this.scheduled++) {
      const scheduledAt = this.startedAt + (this.scheduled / this.plan.rate) * 1000;
      if (this.plan.isFreshEach) {
        this.owed.push(scheduledAt);
        this.open();
        continue;
      }
      const connection = this.idle.shift();
      if (connection) this.send(connection, scheduledAt);
      else this.owed.push(scheduledAt);
    }
  }

  private open(): void {
    this.connections++;
    new Connection(this);
  }

  private send(connection: Connection, at: number): void {
    connection.send(this.requests[this.next++ % this.requests.length] ?? '', at);
  }
}

const argument = process.argv[2];
if (argument) {
  const result = await new Generator(JSON.parse(argument) as LoadPlan).run();
  process.stdout.write(`${JSON.stringify(result)}\n`);
  process.exit(0);
}
