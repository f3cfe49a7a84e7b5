import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { Redis } from 'ioredis';
import { freePorts } from './ports.ts';
import { eventually } from './wait.ts';

/** For the `skip` of a test: false where redis-server is installed, else the reason; with CI set that is a failure. */
export function skipWithoutRedis(): string | false {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  if (folders.some((folder) => existsSync(join(folder, 'redis-server')))) return false;
  const reason = 'needs redis-server (Debian package redis-server)';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** A real redis-server that keeps nothing on disk, on a port of its own. */
export class RedisServer {
  readonly port: number;
  readonly #args: readonly string[];
  readonly #dir = mkdtempSync(join(tmpdir(), 'sluice-redis-'));
  #child: ChildProcess | null = null;

  private constructor(port: number, args: readonly string[]) {
    this.port = port;
    this.#args = args;
  }

  /** @param args more settings, as `--requirepass secret` */
  static async start(args: readonly string[] = []): Promise<RedisServer> {
    const [port = 0] = await freePorts(1);
    const server = new RedisServer(port, args);
    await server.restart();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Begins anew with an empty memory, on the same port. */
  async restart(): Promise<void> {
    await this.kill();
    const settings = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--dir', this.#dir];
    const child = spawn('redis-server', [...settings, ...this.#args], { stdio: 'ignore' });
    this.#child = child;
    await eventually(async () => {
      if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}`);
      return (await this.command('ping').catch(() => undefined)) === undefined ? undefined : true;
    }, 'redis-server to answer');
  }

  /** One command on a connection of its own. */
  async command(name: string, ...args: string[]): Promise<unknown> {
    const place = this.#args.indexOf('--requirepass');
    const password = place === -1 ? undefined : this.#args[place + 1];
    const client = new Redis({
      port: this.port,
      lazyConnect: true,
      retryStrategy: () => null,
      ...(password === undefined ? {} : { password }),
    });
    client.on('error', () => {});
    try {
      await client.connect();
      return await client.call(name, ...args);
    } finally {
      client.disconnect();
    }
  }

  /** It keeps its connections and answers nothing. */
  suspend(): void {
    this.#child?.kill('SIGSTOP');
  }

  resume(): void {
    this.#child?.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
