import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { LoadPlan, LoadResult, LoadRun } from './generator.ts';

/** Load on one port: runs as often as asked. */
export interface Load {
  run(run: LoadRun): Promise<LoadResult>;
  stop(): Promise<void>;
}

/** The generator (generator.ts) in a process of its own on the given core; its connections stay open between runs. */
export async function startGenerator(plan: LoadPlan, core: string): Promise<Load> {
  const child = startScript('generator.ts', [JSON.stringify(plan)], core);
  await child.line();
  return {
    async run(run) {
      child.write(`${JSON.stringify(run)}\n`);
      return JSON.parse(await child.line()) as LoadResult;
    },
    stop: () => child.stop(),
  };
}

export interface Script {
  readonly pid: number;
  /** The next line of its output. @throws when it ends instead */
  line(): Promise<string>;
  write(text: string): void;
  /** Ends its input, which ends it. */
  stop(): Promise<void>;
}

/** Starts a script of this folder on one core. */
export function startScript(name: string, args: readonly string[], core: string): Script {
  const command = ['-c', core, process.execPath, join(import.meta.dirname, name), ...args];
  const child = spawn('taskset', command, { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout });
  const next = lines[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    async line() {
      const { value, done } = await next.next();
      if (done) throw new Error(`${name} ended with ${child.exitCode}`);
      return value;
    },
    write: (text) => void child.stdin.write(text),
    stop: () => ended(child, lines),
  };
}

async function ended(child: ChildProcess, lines: Interface): Promise<void> {
  child.stdin?.end();
  if (child.exitCode === null) await once(child, 'exit');
  lines.close();
}

/** `h2load -c … -m …`: HTTP/2 with as many streams at once on each connection as `streams` says. */
export function h2load(port: number, plan: H2Plan, core: string): Load {
  return {
    run: ({ seconds }) => runH2load(port, plan, core, seconds),
    stop: () => Promise.resolve(),
  };
}

export interface H2Plan {
  readonly connections: number;
  readonly streams: number;
  readonly path: string;
  /** File with the request body; null: GET. */
  readonly bodyFile: string | null;
  readonly fields: readonly string[];
}

async function runH2load(port: number, plan: H2Plan, core: string, seconds: number): Promise<LoadResult> {
  const args = [
    ...['-c', String(plan.connections), '-m', String(plan.streams), '-D', String(seconds)],
    // As the generator: one suite for all peers.
    ...['--tls13-ciphers', 'TLS_AES_128_GCM_SHA256', '--groups', 'X25519', '--connect-to', `127.0.0.1:${port}`],
    ...plan.fields.flatMap((field) => ['-H', field]),
    ...(plan.bodyFile === null ? [] : ['-d', plan.bodyFile]),
    `https://h0.bench${plan.path}`,
  ];
  const child = spawn('taskset', ['-c', core, 'h2load', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'exit');
  const counts = /requests: \d+ total, \d+ started, (\d+) done, \d+ succeeded, (\d+) failed/.exec(text);
  const good = /status codes: (\d+) 2xx/.exec(text);
  if (!counts || !good) throw new Error(`h2load said: ${text.slice(-1000)}`);
  const requests = Number(good[1]);
  return { requests, failed: Number(counts[1]) - requests, seconds, p50Ms: 0, p99Ms: 0, p999Ms: 0 };
}
