import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts } from '../../test/kit/ports.ts';
import { fleetFigures } from './fleet.ts';
import { idleMemory } from './idle.ts';
import { h2load, type Load, startGenerator, startScript } from './load.ts';
import { cpuMicros, median, treeOf } from './measure.ts';
import { besideName, hasProgram, type Peer, peers, type Running, start } from './peers.ts';
import type { Row } from './rows.ts';
import type { Setting } from './setting.ts';
import type { Outcome } from './table.ts';

const proxyCore = '0';
export const loadCore = '1';
const rounds = Number(process.env['BENCH_ROUNDS'] ?? 9);
const seconds = Number(process.env['BENCH_SECONDS'] ?? 3);
/** After 4 s a worker of ours still takes 4 % more for a small GET than after 12 and for good. */
const warmUpSeconds = Number(process.env['BENCH_WARMUP'] ?? 12);
/** Streams at once on each HTTP/2 connection. */
const streams = 16;

/** What all rows share. */
export interface Bench {
  readonly folder: string;
  readonly certificate: string;
  readonly key: string;
  /** nginx with fixed answers. */
  readonly backendPort: number;
}

/** A peer that serves, and its figures by unit, one a round. */
interface Entry {
  readonly peer: Peer;
  readonly running: Running;
  readonly setting: Setting;
  load: Load | null;
  readonly figures: Map<string, number[]>;
  readonly rates: number[];
  failed: number;
}

/** Measures one row; one outcome for each of its units. */
export async function measureRow(bench: Bench, row: Row): Promise<Outcome[]> {
  const missing: string[] = [];
  const entries: Entry[] = [];
  const backend = await startBackend(bench, row);
  try {
    for (const peer of peersOf(row)) {
      if (peer.program !== null && !hasProgram(peer.program)) missing.push(`${peer.program} is not installed`);
      else entries.push(await enter(bench, row, peer, backend.port));
    }
    if (row.kind === 'memory') await measureMemory(entries, row);
    else if (row.kind === 'fleet') for (const entry of entries) await measureFleet(bench, entry, row);
    else await measureLoad(bench, entries, row);
  } finally {
    for (const { load, running } of entries) {
      await load?.stop();
      await running.stop();
    }
    await backend.stop();
  }
  return Object.entries(row.bars).map(([unit, bars]) => ({
    row: row.name,
    unit,
    bars,
    missing,
    cells: entries.map(({ peer, figures, rates, failed }) => ({
      name: peer.name,
      value: median(figures.get(unit) ?? []),
      rounds: figures.get(unit) ?? [],
      requestsPerSecond: median(rates),
      failed,
    })),
  }));
}

/** In the order of the row; another checkout is the last. */
function peersOf(row: Row): Peer[] {
  const names = besideName === null ? row.peers : [...row.peers, besideName];
  return names.flatMap((name) => peers.filter((peer) => peer.name === name));
}

async function startBackend(bench: Bench, row: Row): Promise<{ port: number; stop(): Promise<void> }> {
  const script = row.kind === 'grpc' ? 'grpcbackend.ts' : row.load.isUpgraded ? 'wsbackend.ts' : null;
  if (script === null) return { port: bench.backendPort, stop: () => Promise.resolve() };
  const [port = 0] = await freePorts(1);
  const child = startScript(script, [String(port)], loadCore);
  await child.line();
  return { port, stop: () => child.stop() };
}

async function enter(bench: Bench, row: Row, peer: Peer, backendPort: number): Promise<Entry> {
  const [httpPort = 0, httpsPort = 0] = await freePorts(2);
  const setting: Setting = {
    folder: join(bench.folder, `${row.name}-${peer.name}`.replaceAll(/\W+/g, '-')),
    hosts: peer.hasOneRoute ? 1 : row.load.hosts,
    pathsPerHost: peer.hasOneRoute ? 1 : row.pathsPerHost,
    backendPort,
    isGrpc: row.kind === 'grpc',
    httpPort,
    httpsPort,
    certificate: bench.certificate,
    key: bench.key,
  };
  // Two workers show how they share the work, and what they cost is of no interest.
  const core = row.kind === 'fleet' ? `${proxyCore},${loadCore}` : proxyCore;
  const running = await start(peer.name, peer.command(setting), core, httpPort);
  return { peer, running, setting, load: null, figures: new Map(), rates: [], failed: 0 };
}

async function measureMemory(entries: readonly Entry[], row: Row): Promise<void> {
  for (const { running, setting, figures } of entries) {
    const port = row.load.isTls ? setting.httpsPort : setting.httpPort;
    note(figures, 'bytes per connection', await idleMemory(running.pid, { ...row.load, port }, loadCore));
  }
}

async function measureFleet(bench: Bench, entry: Entry, row: Row): Promise<void> {
  const plan = { ...row.load, port: entry.setting.httpPort };
  const found = await fleetFigures(entry.running.pid, plan, bench.backendPort, warmUpSeconds, seconds, loadCore);
  for (const [unit, value] of Object.entries(found)) note(entry.figures, unit, value);
}

async function measureLoad(bench: Bench, entries: readonly Entry[], row: Row): Promise<void> {
  for (const entry of entries) {
    entry.load = await startLoad(bench, row, entry.setting);
    // Compiles code, fills pools; as fast as it goes, and not counted.
    await entry.load.run({ rate: 0, seconds: warmUpSeconds });
  }
  for (let round = 0; round < rounds; round++) for (const entry of entries) await measureRound(entry, row);
}

function startLoad(bench: Bench, row: Row, setting: Setting): Promise<Load> | Load {
  const port = row.load.isTls ? setting.httpsPort : setting.httpPort;
  // A peer with one host gets the same load as those with many, but for the name.
  if (row.kind !== 'h2' && row.kind !== 'grpc') {
    return startGenerator({ ...row.load, port, hosts: setting.hosts }, loadCore);
  }
  const plan = { connections: row.load.connections, streams, path: row.load.path };
  if (row.kind === 'h2') return h2load(port, { ...plan, body: null, fields: [] }, loadCore);
  // Length-prefixed message of 100 bytes, not compressed.
  const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 100]), Buffer.alloc(100, 'x')]);
  const body = { file: join(bench.folder, 'grpc.message'), bytes: message.length };
  writeFileSync(body.file, message);
  return h2load(port, { ...plan, body, fields: ['content-type: application/grpc', 'te: trailers'] }, loadCore);
}

async function measureRound(entry: Entry, row: Row): Promise<void> {
  const before = cpuMicros(treeOf(entry.running.pid));
  const result = await (entry.load as Load).run({ rate: row.rate, seconds });
  const used = cpuMicros(treeOf(entry.running.pid)) - before;
  note(entry.figures, 'CPU-µs per request', used / Math.max(1, result.requests));
  note(entry.figures, 'ms, p50', result.p50Ms);
  note(entry.figures, 'ms, p99', result.p99Ms);
  note(entry.figures, 'ms, p99.9', result.p999Ms);
  entry.rates.push(result.requests / result.seconds);
  entry.failed += result.failed;
}

function note(figures: Map<string, number[]>, unit: string, value: number): void {
  figures.set(unit, [...(figures.get(unit) ?? []), value]);
}
