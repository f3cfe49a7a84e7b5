import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certificateFor } from '../kit/certificate.ts';
import { freePorts } from '../kit/ports.ts';

/** A gateway with one worker: Sluice, or one that it is compared with. */
export interface Peer {
  readonly name: string;
  readonly httpPort: number;
  readonly httpsPort: number;
  /** Those that do the work. */
  readonly pids: readonly number[];
  stop(): Promise<void>;
}

/** Where another gateway has its files. */
export interface Place {
  readonly folder: string;
  /** Certificate and key, one after the other. */
  readonly pem: string;
  readonly httpPort: number;
  readonly httpsPort: number;
}

export async function place(hosts: readonly string[]): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-peer-'));
  const { cert, key } = await certificateFor(hosts);
  const pem = join(folder, 'pair.pem');
  writeFileSync(pem, `${cert}\n${key}\n`);
  const [httpPort = 0, httpsPort = 0] = await freePorts(2);
  return { folder, pem, httpPort, httpsPort };
}

/** Starts it and waits until it takes connections. */
export async function launched(name: string, at: Place, argv: readonly string[]): Promise<Peer> {
  const { folder, httpPort, httpsPort } = at;
  const child: ChildProcess = spawn(argv[0] ?? '', argv.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  while (!(await takesConnections(httpPort))) {
    if (child.exitCode !== null) throw new Error(`${name} has ended with ${child.exitCode}`);
  }
  const stop = async () => {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { name, httpPort, httpsPort, pids: [child.pid ?? 0], stop };
}

function takesConnections(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('connect', () => resolve(true));
  socket.on('error', () => setTimeout(() => resolve(false), 50));
  return promise.finally(() => socket.destroy());
}
