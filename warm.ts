/**
 * Runs once, while an image is built: what it compiles stays in the folder that NODE_COMPILE_CACHE names, and every process
 * of a container starts with it, on a root that is read-only. Node keeps such code apart by user and by flags, so this has to
 * run as the user of the image, and a fleet has to start its workers.
 */
import { spawn } from 'node:child_process';

await Promise.all([import('./controller/main.ts'), import('./proxy/main.ts'), import('./proxy/edge/main.ts')]);

const ports = ['--http-port', '0', '--https-port', '0', '--admin-port', '0'];
const fleet = spawn(
  process.execPath,
  ['sluice.ts', 'standalone', '--manifests', 'examples', '--workers', '1', ...ports],
  {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  },
);
// The greeting comes when the workers serve.
fleet.stdout.once('data', () => fleet.kill('SIGTERM'));
fleet.once('exit', (code) => {
  process.exitCode = code ?? 1;
});
