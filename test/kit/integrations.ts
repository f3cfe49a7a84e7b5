import { spawnSync } from 'node:child_process';
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from './cache.ts';
import { builtGoProgram, findGoProgram, type GoProgram } from './goprogram.ts';

const pebble = { module: 'github.com/letsencrypt/pebble/v2', version: 'v2.10.3' };
const certManager = { module: 'github.com/cert-manager/cert-manager', version: 'v1.21.2' };

/** Programs of others that Sluice is tried with. They are large: `npm run integrations` builds them, and nothing else does. */
const programs = {
  certmanager: { name: 'certmanager', path: join(import.meta.dirname, 'certmanager.go'), ...certManager },
  pebble: { name: 'pebble', path: `${pebble.module}/cmd/pebble`, ...pebble },
  challtestsrv: { name: 'pebble-challtestsrv', path: `${pebble.module}/cmd/pebble-challtestsrv`, ...pebble },
} as const satisfies Record<string, GoProgram>;

type Integration = keyof typeof programs;

/** Where cert-manager's own definitions are. */
export const certManagerKinds = join(cacheFolder(`certmanager-${certManager.version}`), 'crds');

/** Paths of programs that were built; null where one is missing. */
export function integrations(): Record<Integration, string> | null {
  const paths = Object.entries(programs).map(([name, program]) => [name, builtGoProgram(program)] as const);
  if (paths.some(([, path]) => path === null)) return null;
  return Object.fromEntries(paths) as Record<Integration, string>;
}

/** Builds what is not there yet; some minutes. */
export function buildIntegrations(): void {
  for (const program of Object.values(programs)) findGoProgram(program);
  const { module, version } = certManager;
  const { stdout } = spawnSync('go', ['mod', 'download', '-json', `${module}@${version}`], { encoding: 'utf8' });
  const { Dir: folder } = JSON.parse(stdout) as { Dir: string };
  cpSync(join(folder, 'deploy/crds'), certManagerKinds, { recursive: true });
}
