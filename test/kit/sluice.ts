import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Manifest, toYaml } from './manifests.ts';
import { eventually, waitUntil, within } from './wait.ts';

const root = resolve(import.meta.dirname, '../..');

/** A real `sluice` process of any command, with everything that it printed. */
export class SluiceProcess {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  exit: { code: number | null; signal: NodeJS.Signals | null } | null = null;

  /** @param place where it runs, by what goes before the command (Netns); null: here */
  constructor(
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
    place: { readonly entry: readonly string[] } | null = null,
  ) {
    const command = [...(place?.entry ?? []), process.execPath, join(root, 'sluice.js'), ...args];
    this.child = spawn(command[0] ?? '', command.slice(1), {
      cwd: root,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.on('data', (bytes: Buffer) => {
      this.stdout += bytes.toString();
    });
    this.child.stderr?.on('data', (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    this.child.on('exit', (code, signal) => {
      this.exit = { code, signal };
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Waits for a line on stdout or stderr. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    let found: RegExpExecArray | null = null;
    await waitUntil(() => {
      found = pattern.exec(this.stdout) ?? pattern.exec(this.stderr);
      return found !== null || this.exit !== null;
    }, `sluice to print ${pattern}`);
    if (found === null) throw new Error(`sluice ended before it printed ${pattern}: ${this.stderr.slice(-2000)}`);
    return found;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  async ended(): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    await within(
      new Promise<void>((done) => {
        if (this.exit !== null) done();
        else this.child.once('exit', () => done());
      }),
      'sluice to exit',
    );
    return this.exit ?? { code: null, signal: null };
  }

  /** Ends the process, by force when it does not go by itself. */
  async stop(): Promise<void> {
    if (this.exit !== null) return;
    this.child.kill('SIGTERM');
    try {
      await this.ended();
    } catch {
      this.child.kill('SIGKILL');
      await this.ended();
    }
  }
}

export interface StandaloneOptions {
  manifests: readonly Manifest[];
  workers?: number;
  /** More flags. */
  args?: readonly string[];
  environment?: Readonly<Record<string, string>>;
}

/** What the log says when a process or one of its workers was ended by something that nobody caught. */
const crashLine =
  /^.*(unhandled|uncaught|worker (ended|process|does not answer|cannot start)|\b(Type|Range|Reference)Error).*$/im;

/** `sluice standalone` on free ports, with manifests in a folder of its own. */
export class Standalone {
  readonly process: SluiceProcess;
  readonly dir: string;
  httpPort = 0;
  httpsPort = 0;
  adminPort = 0;

  private constructor(process: SluiceProcess, dir: string) {
    this.process = process;
    this.dir = dir;
  }

  /** Resolves once the first tables are in force. */
  static async start(options: StandaloneOptions): Promise<Standalone> {
    const dir = mkdtempSync(join(tmpdir(), 'sluice-test-'));
    writeFileSync(join(dir, 'all.yaml'), toYaml(options.manifests));
    const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0'];
    const workers = ['--workers', String(options.workers ?? 1)];
    const args = ['standalone', '--manifests', dir, ...ports, ...workers, ...(options.args ?? [])];
    const process = new SluiceProcess(args, options.environment);
    const standalone = new Standalone(process, dir);
    try {
      await standalone.#ready();
    } catch (error) {
      await standalone.discard();
      throw new Error(`sluice did not start: ${process.stderr.slice(-2000)}`, { cause: error });
    }
    return standalone;
  }

  /** Replaces the manifests at once, and waits until they are in force in every worker. */
  async apply(manifests: readonly Manifest[]): Promise<void> {
    const before = await this.#hash();
    writeFileSync(join(this.dir, '.all.yaml'), toYaml(manifests));
    renameSync(join(this.dir, '.all.yaml'), join(this.dir, 'all.yaml'));
    await eventually(
      async () => ((await this.#hash()) === before ? undefined : true),
      'the new manifests to be in force',
    );
  }

  /** Text of a page of the admin port. */
  async admin(path: string): Promise<string> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`);
    return await response.text();
  }

  /** Ends everything, for tests in which processes die on purpose. */
  async discard(): Promise<void> {
    await this.process.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Ends everything; throws when the process crashed, or told of an error that nobody caught. */
  async stop(): Promise<void> {
    const wasRunning = this.process.exit === null;
    await this.discard();
    if (!wasRunning) throw new Error(`sluice ended by itself: ${this.process.stderr.slice(-2000)}`);
    const bad = crashLine.exec(this.process.stderr);
    if (bad) throw new Error(`sluice logged ${bad[0]}`);
  }

  async #ready(): Promise<void> {
    const [, http] = await this.process.printed(/^ +http +http:\/\/\S+:(\d+)/m);
    const [, https] = await this.process.printed(/^ +https +https:\/\/\S+:(\d+)/m);
    const [, admin] = await this.process.printed(/^ +admin +http:\/\/\S+?:(\d+)/m);
    this.httpPort = Number(http);
    this.httpsPort = Number(https);
    this.adminPort = Number(admin);
    await eventually(async () => {
      const response = await fetch(`http://127.0.0.1:${this.adminPort}/readyz`).catch(() => undefined);
      await response?.arrayBuffer();
      return response?.status === 200 ? true : undefined;
    }, 'readyz');
  }

  async #hash(): Promise<string> {
    const dump = JSON.parse(await this.admin('/tables')) as { hash?: string };
    return String(dump.hash);
  }
}
