/**
 * `npm run overload -- 5 [words]` (seconds): Sluice, HAProxy and nginx, asked at their capacity, at three times that and at half
 * of it just after. Prints what was served, what was refused, and how fast. Words name cases and gateways. Cases:
 *
 * - application: the gateway has room, what is behind it takes 8 requests of 5 ms at a time;
 * - kept: the gateway has a twentieth of a core, a millisecond at a time, and clients keep their connections;
 * - crowd, tls: the same, with a new connection for each request, from 2,000 addresses; new: all from one address.
 * But for the application, the gateway answers itself.
 *
 * Needs to be root, for a cgroup. The gateway runs on core 0, all else on core 1; figures mean something on a quiet machine only.
 */
import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Outcome, Plan } from './asker.ts';
import { overloadPeers } from './overloadpeers.ts';
import type { Peer } from './peer.ts';

interface Case {
  readonly isTls: boolean;
  readonly kept: number;
  /** Addresses that clients come from. */
  readonly sources: number;
  readonly hasApplication: boolean;
  /** Where the search for the capacity begins, requests per second. */
  readonly from: number;
}

const cases: Readonly<Record<string, Case>> = {
  application: { isTls: false, kept: 256, sources: 1, hasApplication: true, from: 800 },
  kept: { isTls: false, kept: 256, sources: 1, hasApplication: false, from: 1_000 },
  crowd: { isTls: false, kept: 0, sources: 2_000, hasApplication: false, from: 300 },
  new: { isTls: false, kept: 0, sources: 1, hasApplication: false, from: 300 },
  tls: { isTls: true, kept: 0, sources: 2_000, hasApplication: false, from: 30 },
};

const seconds = Number(process.argv[2] ?? 5);
const wanted = process.argv.slice(3);
const places = 8;
const warmUpSeconds = 12;
const group = `/sys/fs/cgroup/cpu/sluice-soak-${process.pid}`;

pin(process.pid, '1');
const asker = start('asker.ts', []);
const backend = start('busybackend.ts', [String(places), '5']);
const [{ port }] = (await once(backend, 'message')) as [{ port: number }];
mkdirSync(group);
writeFileSync(`${group}/cpu.cfs_period_us`, '20000');
writeFileSync(`${group}/cpu.cfs_quota_us`, '1000');
// Of what it may have it is kept by nobody.
writeFileSync(`${group}/cpu.shares`, '100000');

try {
  for (const [name, one] of Object.entries(cases)) {
    if (!isWanted(name, cases)) continue;
    for (const [peerName, launch] of Object.entries(overloadPeers)) {
      if (!isWanted(peerName, overloadPeers)) continue;
      const peer = await launch(one.hasApplication ? { port, places } : null);
      try {
        for (const pid of peer.pids) pin(pid, '0');
        // With all of its core: what was not compiled yet would be compiled out of a twentieth.
        await ask({ ...planOf(one, peer), perSecond: one.isTls ? 400 : 3_000, seconds: warmUpSeconds, calmMs: 0 });
        if (!one.hasApplication) for (const pid of peer.pids) writeFileSync(`${group}/cgroup.procs`, String(pid));
        await measure(name, one, peer);
      } finally {
        await peer.stop();
      }
    }
  }
} finally {
  asker.disconnect();
  backend.disconnect();
  rmdirSync(group);
}

/** Nobody named: everybody. */
function isWanted(name: string, among: object): boolean {
  return wanted.includes(name) || !wanted.some((word) => word in among);
}

async function measure(name: string, one: Case, peer: Peer): Promise<void> {
  const plan = planOf(one, peer);
  const offer = (perSecond: number, calmMs: number) => ask({ ...plan, perSecond, seconds, calmMs });
  let capacity = 0;
  // Raised until no more of it is served.
  for (let rate = one.from; ; rate = Math.ceil(rate * 1.4)) {
    const { served } = await ask({ ...plan, perSecond: rate, seconds: 2, calmMs: 0 });
    capacity = Math.max(capacity, served);
    if (served < rate * 0.75) break;
  }
  const usual = await offer(capacity * 0.9, 0);
  const over = await offer(capacity * 3, 0);
  capacity = Math.max(capacity, over.served);
  const after = await offer(capacity * 0.5, Math.max(50, 2 * usual.servedP99Ms));
  console.log(
    `${name}, ${peer.name}: capacity ${Math.round(capacity)}/s; at three times that ${percent(over.served, capacity)} served,`,
    `p99 ${ms(usual.servedP99Ms)} → ${ms(over.servedP99Ms)}; ${Math.round(over.refused)}/s refused, p99 ${ms(over.refusedP99Ms)};`,
    `${Math.round(over.failed)}/s failed; calm after ${ms(after.calmAfterMs)}`,
  );
}

function planOf(one: Case, peer: Peer): Pick<Plan, 'port' | 'isTls' | 'kept' | 'sources'> {
  const { isTls, kept, sources } = one;
  return { port: isTls ? peer.httpsPort : peer.httpPort, isTls, kept, sources };
}

async function ask(plan: Plan): Promise<Outcome> {
  asker.send(plan);
  const [outcome] = (await once(asker, 'message')) as [Outcome];
  return outcome;
}

function start(script: string, args: readonly string[]): ChildProcess {
  const child = fork(join(import.meta.dirname, script), [...args], { execArgv: [] });
  pin(child.pid ?? 0, '1');
  return child;
}

function pin(pid: number, core: string): void {
  execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' });
}

function percent(part: number, whole: number): string {
  return `${Math.round((100 * part) / whole)} %`;
}

function ms(value: number): string {
  return `${value.toFixed(1)} ms`;
}
