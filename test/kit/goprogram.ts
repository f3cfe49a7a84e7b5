import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';

export interface GoProgram {
  name: string;
  /** Its package, or a file of ours that is the program. */
  path: string;
  module: string;
  version: string;
  /** Versions of what it needs, `module@version`, where it does not say so itself. */
  needs?: readonly string[];
}

/** Path of a program: from PATH, from the cache, or built once from its Go module. Throws with advice when none can be had. */
export function findGoProgram(wanted: GoProgram): string {
  const { name, path, module, version } = wanted;
  const there = builtGoProgram(wanted);
  if (there !== null) return there;
  const folder = cacheFolder(`${name}-${version}`);
  const program = join(folder, name);
  if (!canBuildGo()) {
    throw new Error(`${name} is neither on PATH nor can it be built: install ${name}, or Go 1.24 or newer to build it`);
  }
  console.error(`building ${name} ${version} from its Go module (once)`);
  // Test files that run side by side may all be the first to want it.
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(folder, 'build-'));
  writeFileSync(join(work, 'go.mod'), `module sluice.test/${name}\n\ngo 1.24\n`);
  const isOurs = path.endsWith('.go');
  if (isOurs) copyFileSync(path, join(work, 'main.go'));
  const what = isOurs ? '.' : path;
  for (const args of [
    ['get', `${module}@${version}`, ...(isOurs ? [] : [path]), ...(wanted.needs ?? [])],
    ['build', '-trimpath', '-ldflags=-s -w', '-o', join(work, name), what],
  ]) {
    const { status } = spawnSync('go', args, {
      cwd: work,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    });
    if (status !== 0) throw new Error(`go ${args[0]} failed while building ${name}`);
  }
  renameSync(join(work, name), program);
  rmSync(work, { recursive: true, force: true });
  return program;
}

/** Path of a program on PATH or in the cache; null where it would have to be built. */
export function builtGoProgram({ name, version }: Pick<GoProgram, 'name' | 'version'>): string | null {
  const onPath = spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
  if (onPath) return onPath;
  const program = join(cacheFolder(`${name}-${version}`), name);
  return existsSync(program) ? program : null;
}

export function canBuildGo(): boolean {
  return spawnSync('sh', ['-c', 'command -v go']).status === 0;
}
