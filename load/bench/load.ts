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
export async function startGenerator(plan: LoadPlan, core: string): Promise<Load & { readonly pid: number }> {
  const child = startScript('generator.ts', [JSON.stringify(plan)], core);
  await child.line();
  return {
    pid: child.pid,
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
  // As many requests as the last run had in the time, and not the time itself, at the end of which h2load hangs up on answers.
  let perSecond = 0;
  return {
    async run({ seconds }) {
      const most = plan.connections * mostPerConnection;
      const length =
        perSecond === 0
          ? (['-D', Math.ceil(seconds)] as const)
          : (['-n', Math.round(Math.min(perSecond * seconds, most))] as const);
      const result = await runH2load(port, plan, core, length);
      perSecond = Math.max(1, Math.round(result.requests / result.seconds));
      return result;
    },
    stop: () => Promise.resolve(),
  };
}

/** Sluice lets a connection go after 10,000 requests, so that clients spread again, and h2load opens no other. */
const mostPerConnection = 9_000;

export interface H2Plan {
  readonly connections: number;
  readonly streams: number;
  readonly path: string;
  /** The request body; null: GET. */
  readonly body: { readonly file: string; readonly bytes: number } | null;
  readonly fields: readonly string[];
}

async function runH2load(
  port: number,
  plan: H2Plan,
  core: string,
  length: readonly [option: '-D' | '-n', value: number],
): Promise<LoadResult> {
  const { connections, streams, body } = plan;
  const args = [
    ...['-c', String(connections), '-m', String(streams), length[0], String(length[1])],
    // As the generator: one suite for all peers.
    ...['--tls13-ciphers', 'TLS_AES_128_GCM_SHA256', '--groups', 'X25519', '--connect-to', `127.0.0.1:${port}`],
    ...plan.fields.flatMap((field) => ['-H', field]),
    ...(body === null ? [] : ['-d', body.file]),
    `https://h0.bench${plan.path}`,
  ];
  const child = spawn('taskset', ['-c', core, 'h2load', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'exit');
  const [, time, unit] = /^finished in ([\d.]+)(s|ms|m)/m.exec(text) ?? [];
  const [, asked, done] = /requests: (\d+) total, \d+ started, (\d+) done/.exec(text) ?? [];
  const [, good] = /status codes: (\d+) 2xx/.exec(text) ?? [];
  const [, data] = /space savings [^)]*\), \S+ \((\d+)\) data/.exec(text) ?? [];
  if (!time || !asked || !done || !good || !data) throw new Error(`h2load said: ${text.slice(-1000)}`);
  // A call that fails has status 200, too, but not the message back that every call is sent.
  const whole = Math.min(Number(done), Number(good), body === null ? Infinity : Math.floor(Number(data) / body.bytes));
  const seconds = Number(time) * { s: 1, ms: 0.001, m: 60 }[unit as 's' | 'ms' | 'm'];
  const failed = length[0] === '-n' ? Number(asked) - whole : 0;
  return { requests: whole, failed, seconds, p50Ms: 0, p99Ms: 0, p999Ms: 0 };
}
