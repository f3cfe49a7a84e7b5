/**
 * `npm run redis -- 5 2` (rounds, seconds of each kind): what requests with client-ip affinity notice of a Redis that is slow, away,
 * full or restarted, beside one that is well and beside none. Fails when any answer is not 200, when by the median of the rounds
 * a kind's p99 is above that of "well" or "none" by more than 2 ms, or when the proxy does not say that it is on its own.
 *
 * Each request is due at its moment, on a connection of its own, from one of 16,000 clients: there is always something to tell.
 * The gateways run on core 0, all else on core 1; figures mean something on a quiet machine only. Under 3 minutes.
 */
import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ingress, ingressClass, type Manifest, service } from '../kit/manifests.ts';
import { freePorts } from '../kit/ports.ts';
import { childrenOf } from '../kit/procfs.ts';
import { RedisServer } from '../kit/redis.ts';
import { Standalone } from '../kit/sluice.ts';
import { eventually } from '../kit/wait.ts';
import type { ClientsOutcome, ClientsPlan } from './clientsasker.ts';
import { Relay } from './relay.ts';

interface Kind {
  /** What `sluice_share_up` comes to be; null: it may be either. */
  readonly up: 0 | 1 | null;
  begin(): Promise<unknown>;
}

const [rounds = 5, seconds = 2] = process.argv.slice(2).map(Number);
const perSecond = 400;
const allowedMs = 2;

pin(process.pid, '1');
const stops: (() => unknown)[] = [];
try {
  process.exitCode = (await soak()) ? 0 : 1;
} finally {
  for (const stop of stops.reverse()) await stop();
}

async function soak(): Promise<boolean> {
  const asker = start('clientsasker.ts', []);
  const backends = [start('busybackend.ts', ['64', '1']), start('busybackend.ts', ['64', '1'])];
  const ports = await Promise.all(
    backends.map(async (one) => ((await once(one, 'message')) as [{ port: number }])[0].port),
  );
  const [redis, full, diskless] = [await server([]), await server([]), await server(['--save', '86400 1'])];
  await fill(full);
  await breakDisk(diskless);
  const [relayPort = 0] = await freePorts(1);
  const relay = new Relay(relayPort);
  stops.push(() => relay.close());
  await relay.open(redis.port, 0);
  const manifests = manifestsOf(ports);
  const alone = await gateway(manifests, []);
  const sharing = await gateway(manifests, ['--redis-url', `redis://127.0.0.1:${relayPort}`]);

  const kinds: Readonly<Record<string, Kind>> = {
    none: { up: null, begin: async () => {} },
    well: {
      up: 1,
      async begin() {
        await relay.open(redis.port, 0);
        await comesTo(sharing, 1);
      },
    },
    'slow, 50 ms': { up: 1, begin: () => relay.open(redis.port, 50) },
    'slow, 1 s': { up: null, begin: () => relay.open(redis.port, 1_000) },
    mute: { up: 0, begin: () => relay.open(redis.port, 'mute') },
    down: { up: 0, begin: () => relay.close() },
    full: { up: 0, begin: () => relay.open(full.port, 0) },
    misconf: { up: 0, begin: () => relay.open(diskless.port, 0) },
    restarted: { up: null, begin: () => relay.open(redis.port, 0) },
  };

  const ask = async (of: Standalone, length: number): Promise<ClientsOutcome> => {
    const plan: ClientsPlan = { port: of.httpPort, perSecond, seconds: length };
    asker.send(plan);
    return ((await once(asker, 'message')) as [ClientsOutcome])[0];
  };
  for (const one of [alone, sharing]) await ask(one, 5);

  const outcomes: Record<string, ClientsOutcome[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const [name, kind] of Object.entries(kinds)) {
      await kind.begin();
      const asking = ask(name === 'none' ? alone : sharing, seconds);
      if (name === 'restarted') await restarts(redis, asking);
      const outcome = await asking;
      outcomes[name] = [...(outcomes[name] ?? []), outcome];
      if (kind.up !== null) await comesTo(sharing, kind.up);
    }
  }
  return Object.keys(kinds)
    .map((name) => report(name, outcomes))
    .every((isGood) => isGood);
}

function report(name: string, outcomes: Readonly<Record<string, readonly ClientsOutcome[]>>): boolean {
  const own = outcomes[name] ?? [];
  const statuses: Record<string, number> = {};
  for (const one of own)
    for (const [status, n] of Object.entries(one.statuses)) statuses[status] = (statuses[status] ?? 0) + n;
  const { 200: served = 0, ...failures } = statuses;
  const all = own.flatMap(({ waitsMs }) => waitsMs);
  const above = (other: string) => {
    const others = outcomes[other] ?? [];
    return quantile(
      own.map((one, nth) => quantile(one.waitsMs, 0.99) - quantile(others[nth]?.waitsMs ?? [], 0.99)),
      0.5,
    );
  };
  const [aboveWell, aboveNone] = [above('well'), above('none')];
  const isGood = served === all.length && Math.max(aboveNone, name === 'none' ? 0 : aboveWell) <= allowedMs;
  console.log(
    `${name}: ${all.length} requests, failures ${JSON.stringify(failures)}; p50 ${ms(quantile(all, 0.5))}, p99 ${ms(quantile(all, 0.99))},`,
    `p99.9 ${ms(quantile(all, 0.999))}; p99 above well ${ms(aboveWell)}, above none ${ms(aboveNone)}${isGood ? '' : ' – TOO MUCH'}`,
  );
  return isGood;
}

/** Every second, until the asking is over. */
async function restarts(redis: RedisServer, asking: Promise<unknown>): Promise<void> {
  let isOver = false;
  const over = asking.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await redis.restart();
    await Promise.race([setTimeout(1_000), over]);
  }
}

async function comesTo(sluice: Standalone, up: 0 | 1): Promise<void> {
  await eventually(async () => {
    const said = await sluice.admin('/metrics');
    return new RegExp(`^sluice_share_up ${up}$`, 'm').test(said) ? true : undefined;
  }, `sluice_share_up to be ${up}`);
}

async function server(args: readonly string[]): Promise<RedisServer> {
  const redis = await RedisServer.start(args);
  stops.push(() => redis.stop());
  return redis;
}

async function fill(redis: RedisServer): Promise<void> {
  await redis.command('set', 'ballast', 'x'.repeat(2 << 20));
  await redis.command('config', 'set', 'maxmemory-policy', 'noeviction');
  await redis.command('config', 'set', 'maxmemory', '1mb');
}

/** Where its dump should go is a folder. */
async function breakDisk(redis: RedisServer): Promise<void> {
  const [, folder = ''] = (await redis.command('config', 'get', 'dir')) as string[];
  mkdirSync(join(folder, 'dump.rdb'));
  await redis.command('bgsave');
  await eventually(async () => {
    const said = String(await redis.command('info', 'persistence'));
    return said.includes('rdb_last_bgsave_status:err') ? true : undefined;
  }, 'redis-server to fail to save');
}

async function gateway(manifests: readonly Manifest[], args: readonly string[]): Promise<Standalone> {
  const sluice = await Standalone.start({ manifests, args });
  stops.push(() => sluice.stop());
  // With the primary, which is who works for Redis.
  for (const pid of [sluice.process.pid, ...childrenOf(sluice.process.pid)]) pin(pid, '0');
  return sluice;
}

function manifestsOf(ports: readonly number[]): Manifest[] {
  const [address, ...slices] = service('sticky', ports);
  if (address === undefined) throw new Error('no Service');
  const spec = { ...(address['spec'] as object), sessionAffinity: 'ClientIP' };
  return [
    ingressClass(),
    ingress({ name: 'all', host: 'gw.test', paths: { '/': 'sticky' } }),
    { ...address, spec },
    ...slices,
  ];
}

function start(script: string, args: readonly string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, script), [...args], { execArgv: [] });
  stops.push(() => child.connected && child.disconnect());
  return child;
}

/** Fails when a thread ends meanwhile, as helpers of the runtime do. */
function pin(pid: number, core: string): void {
  for (let tries = 1; spawnSync('taskset', ['-acp', core, String(pid)]).status !== 0; tries++) {
    if (tries === 5) throw new Error(`process ${pid} cannot be kept on core ${core}`);
  }
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * share)] ?? 0;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
