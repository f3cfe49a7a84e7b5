import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../test/kit/cache.ts';

const version = 'v1.8.1';

/** Path of a k6 program: from PATH, from the cache, or built once from its Go module. Throws with advice when none can be had. */
export function findK6(): string {
  const onPath = spawnSync('sh', ['-c', 'command -v k6'], { encoding: 'utf8' }).stdout.trim();
  if (onPath) return onPath;
  const folder = cacheFolder(`k6-${version}`);
  const program = join(folder, 'k6');
  if (existsSync(program)) return program;
  if (spawnSync('sh', ['-c', 'command -v go']).status !== 0) {
    throw new Error('k6 is neither on PATH nor can it be built: install k6, or Go 1.24 or newer to build it');
  }
  console.error(`building k6 ${version} from its Go module (a minute or two, once)`);
  const work = join(folder, 'build');
  mkdirSync(work, { recursive: true });
  writeFileSync(join(work, 'go.mod'), 'module k6build\n\ngo 1.24\n');
  // A tools file keeps the requirement when the module graph is tidied.
  writeFileSync(join(work, 'tools.go'), 'package tools\n\nimport _ "go.k6.io/k6/cmd"\n');
  for (const args of [
    ['get', `go.k6.io/k6@${version}`],
    ['build', '-trimpath', '-ldflags=-s -w', '-o', `${program}.new`, 'go.k6.io/k6'],
  ]) {
    const { status } = spawnSync('go', args, {
      cwd: work,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod' },
    });
    if (status !== 0) throw new Error(`go ${args[0]} failed while building k6`);
  }
  renameSync(`${program}.new`, program);
  rmSync(work, { recursive: true, force: true });
  return program;
}
