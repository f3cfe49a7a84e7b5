/**
 * `npm run hostile -- 1000 3 [words]`: what honest clients of Sluice, HAProxy and nginx notice of so many connections of each
 * kind of attack and flood: waits without and with it in turn, so many seconds each, and the growth of the gateway. Words name
 * gateways, and kinds by what they contain.
 *
 * The gateway runs on core 0; clients, their backend and attackers on core 1, honest ones before everybody else and attackers only
 * while nobody else has anything to do there, so that what is seen is the gateway's doing. Figures mean something on a quiet
 * machine only.
 *
 * In a network namespace of its own, where a packet has 1,500 bytes as between machines (package.json). The kernel lets a
 * connection hold ten packets and what they take before anything is read: with the 64 KiB of a loopback that is 2.6 MB, which no
 * client from elsewhere brings about. Needs to be root.
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoadPlan, LoadResult } from '../../load/bench/generator.ts';
import { startGenerator } from '../../load/bench/load.ts';
import { backendConfig } from '../../load/bench/nginx.ts';
import { attacks } from '../kit/attacks.ts';
import { floods } from '../kit/floods.ts';
import { freePorts } from '../kit/ports.ts';
import { residentBytes } from '../kit/procfs.ts';
import { attackedPeers } from './attackedpeers.ts';
import type { Order } from './attackers.ts';
import type { Peer } from './peer.ts';

const connections = Number(process.argv[2] ?? 1_000);
const seconds = Number(process.argv[3] ?? 3);
const words = process.argv.slice(4);
const gatewayWords = words.filter((word) => word in attackedPeers);
const kindWords = words.filter((word) => !(word in attackedPeers));
const rounds = 3;
/** Connections that the attackers open in a second: what one machine does that has better things to do. */
const perSecond = 1_000;
/** Until what runs is compiled, here and in the gateway: without the attack, then with it. */
const warmUpSeconds = 8;

interface Pair {
  readonly quiet: Seen;
  readonly attacked: Seen;
}

/** What clients see who keep their connection, and who do not. */
interface Seen {
  readonly kept: LoadResult;
  readonly fresh: LoadResult;
}

pin(process.pid, '1');
schedule(process.pid, '--rr', '1');
const folder = mkdtempSync(join(tmpdir(), 'sluice-hostile-'));
const [backendPort = 0] = await freePorts(1);
const backend = spawn('taskset', ['-c', '1', 'nginx', '-c', backendConfig(folder, backendPort)], { stdio: 'inherit' });
const attackers = fork(join(import.meta.dirname, 'attackers.ts'), { execArgv: [] });
pin(attackers.pid ?? 0, '1');
schedule(attackers.pid ?? 0, '--idle', '0');
const [{ port: attackedPort }] = (await once(attackers, 'message')) as [{ port: number }];

try {
  for (const [what, { isTls = false }] of Object.entries({ ...attacks, ...floods })) {
    if (kindWords.length > 0 && !kindWords.some((word) => what.includes(word))) continue;
    for (const [name, launch] of Object.entries(attackedPeers)) {
      if (gatewayWords.length > 0 && !gatewayWords.includes(name)) continue;
      // With a new gateway: what one attack has left behind is not the next one's.
      const gateway = await launch({ attacked: attackedPort, honest: backendPort });
      try {
        await measureAttack(gateway, what, isTls);
      } finally {
        await gateway.stop();
      }
    }
  }
} finally {
  attackers.disconnect();
  backend.kill();
  await once(backend, 'exit');
  rmSync(folder, { recursive: true });
}

async function measureAttack({ name, httpPort, httpsPort, pids }: Peer, what: string, isTls: boolean): Promise<void> {
  for (const pid of pids) {
    pin(pid, '0');
    schedule(pid, '--other', '0');
  }
  const port = isTls ? httpsPort : httpPort;
  const honest = await startHonest(port, isTls);
  await honest.see(3_000, warmUpSeconds);
  const startBytes = bytesOf(pids);
  let mostBytes = startBytes;
  const underAttack = async (time: number): Promise<Seen> => {
    tell(attackers, { what, port, connections, perSecond });
    await passed(1_000);
    const seen = await honest.see(1_000, time);
    mostBytes = Math.max(mostBytes, bytesOf(pids));
    tell(attackers, { what: null, port, connections, perSecond });
    await once(attackers, 'message');
    await passed(1_000);
    return seen;
  };
  await underAttack(warmUpSeconds);
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round++) {
    const quiet = await honest.see(1_000, seconds);
    const attacked = await underAttack(seconds);
    pairs.push({ quiet, attacked });
  }
  await honest.stop();
  const failed = pairs.reduce((sum, { attacked: { kept, fresh } }) => sum + kept.failed + fresh.failed, 0);
  console.log(
    `${what}, ${name}: p99 ${shown(pairs, 'kept')} on kept connections, ${shown(pairs, 'fresh')} on new ones;`,
    `${failed} failed, +${(mostBytes - startBytes) >> 20} MiB`,
  );
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function bytesOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + residentBytes(pid), 0);
}

function tell(child: ChildProcess, order: Order): void {
  child.send(order);
}

/**
 * Clients that keep their connections, and others that do not. So many, because each waits for its answer before it asks again: with
 * four, a wait of 5 ms would make a queue of the rest, which grows for as long as the attack lasts.
 */
async function startHonest(port: number, isTls: boolean) {
  const plan: LoadPlan = {
    ...{ port, isTls, connections: 64, hosts: 1, paths: 1, path: '/', bodyBytes: 0 },
    ...{ isFreshEach: false, isResumed: false, isUpgraded: false },
  };
  const kept = await startGenerator(plan, '1');
  const fresh = await startGenerator({ ...plan, isFreshEach: true }, '1');
  for (const { pid } of [kept, fresh]) letHelpersYield(pid);
  return {
    /** @param rate requests per second of those that keep their connections; the others make a tenth as many: one address that opens more is cut by the gateway, and rightly */
    async see(rate: number, time: number): Promise<Seen> {
      const both = [kept.run({ rate, seconds: time }), fresh.run({ rate: rate / 10, seconds: time })] as const;
      const [ofKept, ofFresh] = await Promise.all(both);
      return { kept: ofKept, fresh: ofFresh };
    },
    stop: () => Promise.all([kept.stop(), fresh.stop()]),
  };
}

/** The 99th percentile without and with the attack, and how many times as long it is: medians of the rounds. */
function shown(pairs: readonly Pair[], kind: keyof Seen): string {
  const quiet = pairs.map((pair) => pair.quiet[kind].p99Ms);
  const attacked = pairs.map((pair) => pair.attacked[kind].p99Ms);
  const times = attacked.map((value, round) => value / (quiet[round] ?? 1));
  return `${median(quiet).toFixed(2)} → ${median(attacked).toFixed(2)} ms (${median(times).toFixed(2)} ×)`;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0;
}

/** Of all of its threads; children inherit it. */
function schedule(pid: number, policy: string, priority: string): void {
  execFileSync('chrt', ['--all-tasks', policy, '--pid', priority, String(pid)], { stdio: 'ignore' });
}

/** V8's threads of a client must not come before the client, nor before the backend: what they hold up would be the gateway's doing. */
function letHelpersYield(pid: number): void {
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    if (readFileSync(`/proc/${pid}/task/${thread}/comm`, 'latin1').trim() !== 'node-V8Worker') continue;
    execFileSync('chrt', ['--other', '--pid', '0', thread], { stdio: 'ignore' });
  }
}

function pin(pid: number, core: string): void {
  execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
}
