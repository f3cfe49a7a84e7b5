import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './wait.ts';

/** For the `skip` of a test: false where HAProxy is installed, else the reason. With CI set, that is a failure. */
export function skipWithoutHaproxy(): string | false {
  if (spawnSync('haproxy', ['-v']).status === 0) return false;
  const reason = 'needs haproxy on the PATH';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

/** A real HAProxy, for what it says of itself on the wire. */
export class Haproxy {
  readonly #child: ChildProcess;
  readonly #dir: string;

  private constructor(child: ChildProcess, dir: string) {
    this.#child = child;
    this.#dir = dir;
  }

  /**
   * @param sections of its configuration, behind `defaults`
   * @param port of 127.0.0.1 that it listens on when it is ready
   */
  static async start(sections: string, port: number): Promise<Haproxy> {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-haproxy-'));
    const file = join(dir, 'haproxy.cfg');
    const defaults = 'defaults\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n';
    writeFileSync(file, `${defaults}${sections}\n`);
    const child = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr?.on('data', (text: Buffer) => {
      said += text;
    });
    const haproxy = new Haproxy(child, dir);
    try {
      await eventually(async () => {
        if (child.exitCode !== null) throw new Error(`haproxy ended: ${said}`);
        return (await accepts(port)) ? true : undefined;
      }, 'haproxy to listen');
    } catch (error) {
      haproxy.stop();
      throw error;
    }
    return haproxy;
  }

  stop(): void {
    this.#child.kill('SIGKILL');
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
  }).then((isOpen) => {
    socket.destroy();
    return isOpen === true;
  });
}
