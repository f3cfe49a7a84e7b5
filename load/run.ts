/**
 * Runs one k6 scenario against Sluice.
 *
 *   npm run load -- smoke                      starts a gateway with demo backends of its own
 *   npm run load -- soak --url http://host     against a gateway that runs already
 *
 * Thresholds are in the scenario; the exit code is k6's.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { findK6 } from './k6.ts';
import { startTarget } from './target.ts';

const folder = join(import.meta.dirname, 'scenarios');
const scenarios = readdirSync(folder)
  .filter((name) => name.endsWith('.js'))
  .map((name) => name.slice(0, -3));
const [scenario, option, url] = process.argv.slice(2);

if (!scenario || !scenarios.includes(scenario) || (option !== undefined && (option !== '--url' || !url))) {
  console.error(`usage: npm run load -- <${scenarios.join(' | ')}> [--url http://host:port]`);
  process.exit(2);
}

const target = url ? { url, stop: async () => {} } : await startTarget(scenario);
const k6 = spawn(findK6(), ['run', '--quiet', '--no-usage-report', join(folder, `${scenario}.js`)], {
  stdio: 'inherit',
  env: { ...process.env, SLUICE_URL: target.url },
});
k6.on('exit', async (code, signal) => {
  await target.stop();
  process.exit(code ?? (signal ? 1 : 0));
});
