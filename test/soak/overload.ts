/**
 * `npm run overload -- plain 10` or `tls 10` (seconds): one worker that has a fifth of a core, asked by new connections at its
 * capacity and at three times that. It answers itself (404), so that no backend is in the way. Prints what was served, what
 * was turned away, and how fast. Needs to be root, for a cgroup; figures mean something on a quiet machine only.
 */
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { certificateFor } from '../kit/certificate.ts';
import { ingress, ingressClass, tlsSecret } from '../kit/manifests.ts';
import { childrenOf } from '../kit/procfs.ts';
import { Standalone } from '../kit/sluice.ts';

const isTls = process.argv[2] === 'tls';
const seconds = Number(process.argv[3] ?? 10);
const sluice = await Standalone.start({
  manifests: [
    ingressClass(),
    ingress({ name: 'none', host: 'gw.test', paths: { '/none': 'none' }, tlsSecret: 'cert' }),
    tlsSecret('cert', await certificateFor(['gw.test'])),
  ],
});
const port = isTls ? sluice.httpsPort : sluice.httpPort;
const group = `/sys/fs/cgroup/cpu/sluice-soak-${process.pid}`;

try {
  mkdirSync(group);
  writeFileSync(`${group}/cpu.cfs_period_us`, '5000');
  writeFileSync(`${group}/cpu.cfs_quota_us`, '1000');
  for (const pid of childrenOf(sluice.process.pid)) writeFileSync(`${group}/cgroup.procs`, String(pid));
  let capacity = 0;
  // Raised until the worker serves no more of it.
  for (let rate = isTls ? 100 : 400; ; rate = Math.ceil(rate * 1.4)) {
    const { served, p99Ms } = await offer(rate, 3);
    console.log(`offered ${rate}/s: served ${Math.round(served)}/s, p99 ${p99Ms.toFixed(1)} ms`);
    capacity = Math.max(capacity, served);
    if (served < rate * 0.9) break;
  }
  for (const [what, times] of [
    ['at capacity', 0.9],
    ['at three times capacity', 3],
    ['at half of capacity, just after', 0.5],
  ] as const) {
    const { served, p99Ms, turnedAway, turnedAwayP99Ms } = await offer(capacity * times, seconds);
    console.log(
      `${what}: served ${Math.round(served)}/s (${Math.round((100 * served) / capacity)} % of capacity), p99 ${p99Ms.toFixed(1)} ms;`,
      `turned away ${Math.round(turnedAway)}/s, p99 ${turnedAwayP99Ms.toFixed(1)} ms`,
    );
  }
  const page = await sluice.admin('/metrics');
  console.log([...page.matchAll(/^sluice_connections_turned_away_total.*$/gm)].join('\n'));
} finally {
  await sluice.stop();
  rmdirSync(group);
}

interface Offered {
  /** Per second. */
  served: number;
  turnedAway: number;
  p99Ms: number;
  turnedAwayP99Ms: number;
}

/** New connections at a rate, whether answers come or not. */
async function offer(rate: number, forSeconds: number): Promise<Offered> {
  const served: number[] = [];
  const turnedAway: number[] = [];
  const startMs = performance.now();
  const pending: Promise<void>[] = [];
  for (let count = 0; ; ) {
    const elapsedMs = performance.now() - startMs;
    if (elapsedMs > forSeconds * 1000) break;
    for (; count < (elapsedMs * rate) / 1000; count++) pending.push(ask(served, turnedAway));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // What comes later was not served at this rate.
  const [servedInTime, turnedAwayInTime] = [served.length, turnedAway.length];
  await Promise.all(pending);
  return {
    served: servedInTime / forSeconds,
    turnedAway: turnedAwayInTime / forSeconds,
    p99Ms: p99(served),
    turnedAwayP99Ms: p99(turnedAway),
  };
}

function p99(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * 0.99)] ?? 0;
}

function ask(served: number[], turnedAway: number[]): Promise<void> {
  return new Promise((resolve) => {
    const startMs = performance.now();
    const where = { port, host: '127.0.0.1' };
    const socket = isTls ? connectTls({ ...where, servername: 'gw.test', rejectUnauthorized: false }) : connect(where);
    let isServed = false;
    socket.setTimeout(5_000, () => socket.destroy());
    socket.on('data', (bytes: Buffer) => {
      isServed ||= bytes.toString('latin1', 9, 12) === '404';
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      (isServed ? served : turnedAway).push(performance.now() - startMs);
      resolve();
    });
    socket.write('GET / HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n');
  });
}
