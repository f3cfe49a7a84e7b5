import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { basename, join, resolve } from 'node:path';
import { haproxyCommand } from './haproxy.ts';
import { nginxCommand } from './nginx.ts';
import type { Setting } from './setting.ts';
import { sluiceCommand } from './sluicepeer.ts';

export interface Peer {
  readonly name: string;
  /** Program that must be there. */
  readonly program: string | null;
  readonly command: (setting: Setting) => string[];
  /** Has one host and one route, whatever the row says. */
  readonly hasOneRoute?: true;
}

export function hasProgram(name: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${name}`]).status === 0;
}

const root = resolve(import.meta.dirname, '../..');
const sluice = (name: string, args: readonly string[], checkout = root): Peer => ({
  name,
  program: null,
  command: (setting) => sluiceCommand(setting, checkout, args),
});
const oneWorker = ['--workers', '1'];

/** Another checkout of Sluice, to see what a change does: joins every row. */
const beside = process.env['BENCH_BESIDE'];
export const besideName = beside === undefined ? null : `Sluice in ${basename(beside)}`;

export const peers: readonly Peer[] = [
  { name: 'nginx', program: 'nginx', command: nginxCommand },
  { name: 'HAProxy', program: 'haproxy', command: haproxyCommand },
  { name: 'nginx, one route', program: 'nginx', command: nginxCommand, hasOneRoute: true },
  { name: 'HAProxy, one route', program: 'haproxy', command: haproxyCommand, hasOneRoute: true },
  sluice('Sluice', oneWorker),
  { ...sluice('Sluice, one route', oneWorker), hasOneRoute: true },
  sluice('Sluice, access log', [...oneWorker, '--access-log', 'stdout']),
  sluice('Sluice, two workers', ['--workers', '2']),
  sluice('Sluice, four workers', ['--workers', '4']),
  sluice('Sluice, eight workers', ['--workers', '8']),
  ...(beside === undefined ? [] : [sluice(besideName ?? '', oneWorker, beside)]),
  {
    name: 'http-proxy-3',
    program: null,
    command: (setting) => [process.execPath, join(import.meta.dirname, 'httpproxy3.ts'), JSON.stringify(setting)],
  },
];

export interface Running {
  readonly name: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a program on one core (or several: `0,1`) and waits until its port takes connections. */
export async function start(name: string, argv: readonly string[], core: string, port: number): Promise<Running> {
  const child = spawn('taskset', ['-c', core, ...argv], { stdio: ['ignore', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2000);
  });
  const deadline = performance.now() + patienceMs;
  while (!(await takesConnections(port))) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${complaint}`);
    if (performance.now() > deadline) throw new Error(`${name} does not listen: ${complaint}`);
  }
  return { name, pid: child.pid ?? 0, stop: () => ended(child) };
}

/** 100,000 routes are a while in reading. */
const patienceMs = 180_000;

function ended(child: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (child.exitCode !== null) resolve();
  child.on('exit', () => resolve());
  child.kill('SIGTERM');
  setTimeout(() => child.kill('SIGKILL'), 5000).unref();
  return promise;
}

async function takesConnections(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('connect', () => resolve(true));
  socket.on('error', () => setTimeout(() => resolve(false), 50));
  const answer = await promise;
  socket.destroy();
  return answer;
}
