/**
 * Sluice beside nginx, HAProxy and http-proxy-3: same machine, same run, same load, in turn. Ratios are what counts.
 *
 *   npm run bench                 all rows
 *   npm run bench -- small TLS    rows whose name contains one of the words
 *   npm run bench -- propagation  instead: how long a new Ingress takes on a real API server (propagation.ts)
 *   npm run bench -- weigh        instead: what controller and worker weigh beside 50,000 endpoints (weigh.ts)
 *   npm run bench -- edge         instead: what a plan of many Services costs a node (edge.ts)
 *   npm run bench -- bgp          instead: how soon routers learn of addresses, and of losses (bgp.ts)
 *   npm run bench -- failover     instead: how soon traffic is back when the holder of an address fails (failover.ts),
 *                                 of all kinds or of one: gone, cut, frozen
 *   npm run bench -- reach        instead: how soon a new load balancer answers outside (reach.ts)
 *   npm run bench -- moves        instead: what clients notice of a node that is drained (moves.ts)
 *   BENCH_ROUNDS=9 BENCH_SECONDS=3 BENCH_WARMUP=12
 *   BENCH_BESIDE=/a/checkout      another Sluice in every row
 *
 * Proxies run on core 0, generator and backend on core 1; each has one worker.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/kit/ports.ts';
import { loadCore, measureRow } from './bench.ts';
import { backendConfig } from './nginx.ts';
import { hasProgram, start } from './peers.ts';
import { rows } from './rows.ts';
import { type Outcome, render } from './table.ts';

const wanted = process.argv.slice(2);

if (wanted.includes('propagation')) {
  const { measurePropagation } = await import('./propagation.ts');
  console.log(JSON.stringify(await measurePropagation()));
  process.exit(0);
}

if (wanted.includes('weigh')) {
  const { weigh } = await import('./weigh.ts');
  console.log(JSON.stringify(await weigh()));
  process.exit(0);
}

if (wanted.includes('bgp')) {
  const { measureRoutes, measureSilence } = await import('./bgp.ts');
  for (const addresses of [100, 1_000, 10_000]) console.log(JSON.stringify(await measureRoutes(addresses)));
  console.log(JSON.stringify(await measureSilence(5)));
  process.exit(0);
}

if (wanted.includes('failover')) {
  const { measureFailover, measureKeepalived } = await import('./failover.ts');
  const trials = Number(process.env['BENCH_ROUNDS'] ?? 50);
  const kinds = (['gone', 'cut', 'frozen'] as const).filter((kind) => wanted.length === 1 || wanted.includes(kind));
  for (const failure of kinds) {
    const measured = [measureFailover(failure, trials)];
    if (hasProgram('keepalived')) measured.push(measureKeepalived(failure, trials));
    for (const gaps of await Promise.all(measured)) console.log(JSON.stringify(gaps));
  }
  process.exit(0);
}

if (wanted.includes('reach')) {
  const { measureReach } = await import('./reach.ts');
  console.log(JSON.stringify(await measureReach(Number(process.env['BENCH_ROUNDS'] ?? 100))));
  process.exit(0);
}

if (wanted.includes('moves')) {
  const { measureMoves } = await import('./moves.ts');
  console.log(JSON.stringify(await measureMoves(Number(process.env['BENCH_ROUNDS'] ?? 30))));
  process.exit(0);
}

if (wanted.includes('edge')) {
  const { measureAffinity, measureEdge } = await import('./edge.ts');
  console.log(JSON.stringify(await measureAffinity(10_000)));
  for (const [services, endpoints] of [
    [10_000, 10],
    [44_000, 1],
  ] as const) {
    console.log(JSON.stringify(await measureEdge(services, endpoints)));
  }
  process.exit(0);
}

if (!hasProgram('nginx')) {
  console.error('the benchmark needs nginx as its backend (Debian package nginx-light)');
  process.exit(2);
}

const folder = mkdtempSync(join(tmpdir(), 'sluice-bench-'));
const certificate = join(folder, 'tls.crt');
const key = join(folder, 'tls.key');
execFileSync(
  'openssl',
  `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=bench -addext subjectAltName=DNS:*.bench -keyout ${key} -out ${certificate}`.split(
    ' ',
  ),
  { stdio: 'ignore' },
);
const [backendPort = 0] = await freePorts(1);
const backend = await start(
  'backend',
  ['nginx', '-c', backendConfig(join(folder, 'backend'), backendPort)],
  loadCore,
  backendPort,
);
const outcomes: Outcome[] = [];

try {
  for (const row of rows.filter((each) => wanted.length === 0 || wanted.some((word) => each.name.includes(word)))) {
    console.error(`row ${row.name}`);
    outcomes.push(...(await measureRow({ folder, certificate, key, backendPort }, row)));
  }
} finally {
  await backend.stop();
  rmSync(folder, { recursive: true, force: true });
}

const results = join(import.meta.dirname, '../results');
mkdirSync(results, { recursive: true });
writeFileSync(join(results, 'bench.json'), `${JSON.stringify(outcomes, null, 2)}\n`);
console.log(render(outcomes));
process.exit(0);
