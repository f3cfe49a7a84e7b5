import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { cacheFolder } from './cache.ts';

/** The staging modules of Kubernetes are versioned beside it: v1.36.3 goes with v0.36.3. */
const kubernetesMinor = '36.3';
const etcdVersion = 'v3.6.16';
const programs = ['etcd', 'kube-apiserver'];

/**
 * The folder that holds etcd and kube-apiserver: $KUBEBUILDER_ASSETS, else the user's cache, into which they are built
 * from their pinned Go modules once (some minutes; parallel test files wait for one build). Throws where that is not possible.
 */
export async function apiServerAssets(): Promise<string> {
  const given = process.env['KUBEBUILDER_ASSETS'];
  if (given) {
    const missing = programs.filter((program) => !existsSync(join(given, program)));
    if (missing.length > 0) throw new Error(`KUBEBUILDER_ASSETS (${given}) lacks ${missing.join(', ')}`);
    return given;
  }
  const folder = folderOfPrograms();
  if (!isComplete(folder)) await withLock(folder, async () => await build(folder));
  return folder;
}

/**
 * For the `skip` of a test: false where the API server can run or be built, else the reason. With CI set, a missing
 * tool is a failure, since a test that silently never runs proves nothing.
 */
export async function skipWithoutApiServer(): Promise<string | false> {
  if (process.env['KUBEBUILDER_ASSETS'] || isComplete(folderOfPrograms())) return false;
  if (await succeeds('go', ['version'])) return false;
  const reason = 'needs kube-apiserver and etcd: set KUBEBUILDER_ASSETS, or put Go on the PATH to build them';
  if (process.env['CI']) throw new Error(reason);
  return reason;
}

function folderOfPrograms(): string {
  return cacheFolder(`kubernetes-1.${kubernetesMinor}`);
}

function isComplete(folder: string): boolean {
  return programs.every((program) => existsSync(join(folder, program)));
}

async function build(folder: string): Promise<void> {
  if (isComplete(folder)) return;
  const began = performance.now();
  say(
    `building kube-apiserver 1.${kubernetesMinor} and etcd ${etcdVersion} into ${folder}, once; this takes some minutes`,
  );
  const seconds = () => Math.round((performance.now() - began) / 1000);
  const progress = setInterval(() => say(`  still building after ${seconds()} s`), 30_000);
  try {
    await buildEtcd(folder);
    await buildApiServer(folder);
  } finally {
    clearInterval(progress);
  }
  say(`built in ${seconds()} s`);
}

async function buildEtcd(folder: string): Promise<void> {
  const program = 'go.etcd.io/etcd/server/v3';
  const work = await module(folder, 'etcd', [`require ${program} ${etcdVersion}`]);
  await compile(work, program, join(folder, 'etcd'), '-s -w');
}

async function buildApiServer(folder: string): Promise<void> {
  // k8s.io/kubernetes asks for its staging modules as v0.0.0, which do not exist: each is replaced by its release.
  const work = await module(folder, 'kubernetes', []);
  const found = await output(work, ['mod', 'download', '-json', `k8s.io/kubernetes@v1.${kubernetesMinor}`]);
  const { GoMod } = JSON.parse(found) as { GoMod: string };
  const { Require } = JSON.parse(await output(work, ['mod', 'edit', '-json', GoMod])) as {
    Require: { Path: string; Version: string }[];
  };
  const staging = Require.filter(({ Version }) => Version === 'v0.0.0').map(({ Path }) => Path);
  await module(folder, 'kubernetes', [
    `require k8s.io/kubernetes v1.${kubernetesMinor}`,
    ...staging.map((path) => `replace ${path} => ${path} v0.${kubernetesMinor}`),
  ]);
  const stamp = ['gitMajor=1', `gitMinor=${kubernetesMinor.split('.')[0]}`, `gitVersion=v1.${kubernetesMinor}`];
  const flags = `-s -w ${stamp.map((value) => `-X k8s.io/component-base/version.${value}`).join(' ')}`;
  await compile(work, 'k8s.io/kubernetes/cmd/kube-apiserver', join(folder, 'kube-apiserver'), flags);
}

/** A Go module of its own; what it needs beyond this, Go adds to its go.mod (GOFLAGS=-mod=mod). Returns its folder. */
async function module(folder: string, name: string, lines: readonly string[]): Promise<string> {
  const work = join(folder, 'build', name);
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'go.mod'), `${[`module sluice.test/${name}`, 'go 1.26.0', ...lines].join('\n')}\n`);
  return work;
}

async function compile(work: string, program: string, target: string, flags: string): Promise<void> {
  say(`  ${program}`);
  await output(work, ['build', '-trimpath', '-buildvcs=false', '-ldflags', flags, '-o', `${target}.new`, program]);
  await rename(`${target}.new`, target);
}

async function output(cwd: string, args: string[]): Promise<string> {
  const child = spawn('go', args, {
    cwd,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out: Buffer[] = [];
  const said: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code === 0) return Buffer.concat(out).toString();
  throw new Error(`go ${args.join(' ')} failed: ${Buffer.concat(said).toString().slice(-2000)}`);
}

async function succeeds(program: string, args: string[]): Promise<boolean> {
  const child = spawn(program, args, { stdio: 'ignore' });
  return await new Promise((resolve) =>
    child.on('error', () => resolve(false)).on('close', (code) => resolve(code === 0)),
  );
}

/** The lock is a file that its holder touches; one that nobody touches was left by a process that died. */
async function withLock(folder: string, action: () => Promise<void>): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, '.lock');
  for (;;) {
    const lock = await open(path, 'wx').catch(() => null);
    if (lock) {
      const touch = setInterval(() => void lock.utimes(new Date(), new Date()).catch(() => undefined), 2_000);
      try {
        return await action();
      } finally {
        clearInterval(touch);
        await lock.close();
        await rm(path, { force: true });
      }
    }
    const found = await stat(path).catch(() => null);
    if (found && Date.now() - found.mtimeMs > 20_000) await rm(path, { force: true });
    await sleep(500);
  }
}

function say(message: string): void {
  process.stderr.write(`${message}\n`);
}
