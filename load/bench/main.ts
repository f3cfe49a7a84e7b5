/**
 * CPU per request of Sluice beside nginx, HAProxy and http-proxy-3: same machine, same run, same load, in turn.
 *
 *   npm run bench                 all rows
 *   npm run bench -- small tls    rows whose name contains one of the words
 *   npm run bench -- propagation  instead: how long a new Ingress takes on a real API server (propagation.ts)
 *   npm run bench -- edge         instead: what a plan of many Services costs a node (edge.ts)
 *   BENCH_ROUNDS=7 BENCH_SECONDS=5
 *
 * Proxies run on core 0, generator and backend on core 1; each has one worker. Ratios are what counts.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePorts } from '../../test/kit/ports.ts';
import { idleMemory } from './idle.ts';
import { median, type Sample, sample } from './measure.ts';
import { backendConfig, hasProgram, peers, type Running, type Setting, start } from './peers.ts';
import { type Row, rows } from './rows.ts';
import { type Outcome, render } from './table.ts';

const proxyCore = '0';
const loadCore = '1';
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 7);
const seconds = Number(process.env['BENCH_SECONDS'] ?? 5);
const warmUpSeconds = 4;
const wanted = process.argv.slice(2);

if (wanted.includes('propagation')) {
  const { measurePropagation } = await import('./propagation.ts');
  console.log(JSON.stringify(await measurePropagation()));
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
    outcomes.push(await measure(row));
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

async function measure(row: Row): Promise<Outcome> {
  const running: { peer: Running; setting: Setting }[] = [];
  const missing: string[] = [];
  const values = new Map<string, Sample[]>();
  try {
    for (const peer of peers.filter((each) => row.peers.includes(each.name))) {
      const [httpPort = 0, httpsPort = 0] = await freePorts(2);
      const setting: Setting = {
        folder: join(folder, `${peer.name.replaceAll(/\W/g, '')}-${row.hosts}`),
        hosts: peer.hosts ?? row.hosts,
        backendPort,
        httpPort,
        httpsPort,
        certificate,
        key,
      };
      const command = peer.command(setting);
      if ('missing' in command) missing.push(command.missing);
      else running.push({ peer: await start(peer.name, command.argv, proxyCore, setting.httpPort), setting });
    }
    if (row.kind === 'idle') {
      for (const { peer, setting } of running)
        values.set(peer.name, [await idleMemory(peer.pid, row, setting, loadCore)]);
    } else {
      const portOf = (setting: Setting) => (row.isTls ? setting.httpsPort : setting.httpPort);
      // Warms compilers and pools, as fast as it goes; not counted.
      for (const { peer, setting } of running) {
        await sample(
          peer.pid,
          { ...row, hosts: setting.hosts, port: portOf(setting), rate: 0, seconds: warmUpSeconds },
          loadCore,
        );
      }
      for (let round = 0; round < rounds; round++) {
        for (const { peer, setting } of running) {
          const each = await sample(
            peer.pid,
            { ...row, hosts: setting.hosts, port: portOf(setting), seconds },
            loadCore,
          );
          values.set(peer.name, [...(values.get(peer.name) ?? []), each]);
        }
      }
    }
  } finally {
    for (const { peer } of running) await peer.stop();
  }
  const cells = [...values].map(([name, samples]) => ({
    name,
    value: median(samples.map((each) => each.microsPerRequest)),
    rounds: samples.map((each) => each.microsPerRequest),
    requestsPerSecond: median(samples.map((each) => each.requestsPerSecond)),
    p99Ms: median(samples.map((each) => each.p99Ms)),
    failed: samples.reduce((sum, each) => sum + each.failed, 0),
  }));
  return {
    row: row.name,
    unit: row.kind === 'idle' ? 'bytes per connection' : 'CPU-µs per request',
    bar: row.bar,
    cells,
    missing,
  };
}
