/**
 * `npm run hostile -- 1000 3 [words]`: what honest clients notice of so many connections of each kind of attack and flood (or
 * of those named with the words): waits without and with it in turn, so many seconds each, and the growth of the worker.
 *
 * The gateway runs on core 0; clients, their backend and attackers on core 1, the attackers behind everybody else there, so
 * that what is seen is the gateway's doing. Figures mean something on a quiet machine only.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { largeBackend, startAttacked } from '../kit/attacked.ts';
import { attacks } from '../kit/attacks.ts';
import { floods } from '../kit/floods.ts';
import { Load, type LoadReport } from '../kit/load.ts';
import { childrenOf, residentBytes } from '../kit/procfs.ts';
import type { Order } from './attackers.ts';

const connections = Number(process.argv[2] ?? 1_000);
const seconds = Number(process.argv[3] ?? 3);
const wanted = process.argv.slice(4);
const rounds = 3;
/** Connections that the attackers open in a second: what one machine does that has better things to do. */
const perSecond = 1_000;

interface Pair {
  readonly quiet: Seen;
  readonly attacked: Seen;
}

/** What clients see who keep their connection, and who do not. */
interface Seen {
  readonly kept: LoadReport;
  readonly fresh: LoadReport;
}

pin(process.pid, '1');
const backend = await largeBackend();
const attackers = fork(join(import.meta.dirname, 'attackers.ts'), { execArgv: [] });
pin(attackers.pid ?? 0, '1');
setPriority(attackers.pid ?? 0, 19);
const [{ port: attackedPort }] = (await once(attackers, 'message')) as [{ port: number }];

try {
  for (const [what, { isTls = false }] of Object.entries({ ...attacks, ...floods })) {
    if (wanted.length === 0 || wanted.some((words) => what.includes(words))) await measureAttack(what, isTls);
  }
} finally {
  attackers.disconnect();
  await backend.stop();
}

/** With a new gateway: what one attack has left behind is not the next one's. */
async function measureAttack(what: string, isTls: boolean): Promise<void> {
  const sluice = await startAttacked({ 'gw.test': attackedPort, 'honest.test': backend.port });
  const [worker = 0] = childrenOf(sluice.process.pid);
  for (const pid of [sluice.process.pid, worker]) pin(pid, '0');
  const port = isTls ? sluice.httpsPort : sluice.httpPort;
  await see(port, isTls);
  const startBytes = residentBytes(worker);
  let mostBytes = startBytes;
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round++) {
    const quiet = await see(port, isTls);
    tell(attackers, { what, port, connections, perSecond });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const attacked = await see(port, isTls);
    mostBytes = Math.max(mostBytes, residentBytes(worker));
    tell(attackers, { what: null, port, connections, perSecond });
    await once(attackers, 'message');
    pairs.push({ quiet, attacked });
    await new Promise((resolve) => setTimeout(resolve, 1_000));
  }
  await sluice.stop();
  const failures = pairs.flatMap(({ attacked }) => [...attacked.kept.failures, ...attacked.fresh.failures]);
  console.log(
    `${what}: p99 ${shown(pairs, 'kept')} on kept connections, ${shown(pairs, 'fresh')} on new ones;`,
    `${failures.length} failed${failures.length > 0 ? ` (${failures[0]})` : ''}, +${(mostBytes - startBytes) >> 20} MiB`,
  );
}

function tell(child: ChildProcess, order: Order): void {
  child.send(order);
}

async function see(port: number, isTls: boolean): Promise<Seen> {
  const common = { port, host: 'honest.test', connections: 4, isTls };
  const kept = Load.start({ ...common, requestsPerSecond: 300 });
  const fresh = Load.start({ ...common, requestsPerSecond: 100, keepsAlive: false });
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  return { kept: await kept.stop(), fresh: await fresh.stop() };
}

/** The 99th percentile without and with the attack, and how many times as long it is: medians of the rounds. */
function shown(pairs: readonly Pair[], kind: keyof Seen): string {
  const quiet = pairs.map((pair) => p99(pair.quiet[kind]));
  const attacked = pairs.map((pair) => p99(pair.attacked[kind]));
  const times = attacked.map((value, round) => value / (quiet[round] ?? 1));
  return `${median(quiet).toFixed(2)} → ${median(attacked).toFixed(2)} ms (${median(times).toFixed(2)} ×)`;
}

function p99({ waitsMs }: LoadReport): number {
  return waitsMs.toSorted((one, other) => one - other)[Math.floor(waitsMs.length * 0.99)] ?? 0;
}

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[values.length >> 1] ?? 0;
}

function pin(pid: number, core: string): void {
  execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
}
