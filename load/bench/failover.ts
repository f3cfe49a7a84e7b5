import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { EdgeLab, type LabNode } from '../../test/kit/edgelab.ts';
import { L2Lab } from '../../test/kit/l2lab.ts';
import { Peer } from '../../test/kit/peer.ts';
import { eventually } from '../../test/kit/wait.ts';

/** gone: nothing comes from the machine any more, and nobody is told. cut: its cable has no carrier. frozen: its daemon hangs. */
export type Failure = 'gone' | 'cut' | 'frozen';

export interface Gaps {
  readonly who: string;
  readonly failure: Failure;
  readonly trials: number;
  /** From the last answer before to the first after, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

const vip = '172.30.0.200';

/** How long a client gets no answers when the holder of an address fails: three nodes, and pods on a fourth. */
export async function measureFailover(failure: Failure, trials: number): Promise<Gaps> {
  const lab = await L2Lab.start('failover', [0, 0, 0, 1], { running: 3 });
  try {
    const nodes = lab.agents.slice(0, 3).map(({ node }) => node.name);
    await lab.apply([lab.announcement({ nodes }), ...lab.service('web', [vip], ['pod-4a'])]);
    const gaps: number[] = [];
    for (let i = 0; i < trials; i++) {
      const node = lab.agent(await lab.holder(vip));
      for (const name of nodes) await lab.heard(name, 2);
      gaps.push(
        await gapOf(lab.net.client, {
          prefix: 'pod-',
          happen: () => fail(lab.net, node.node, failure, (name) => node.signal(name)),
          watchMs: watchMs[failure],
        }),
      );
      node.signal('SIGCONT');
      await node.kill();
      await node.node.netns.ip(`addr del ${vip}/32 dev eth0`).catch(() => {});
      await mend(lab.net, node.node);
      await node.start();
      await lab.tell(node);
    }
    return summary('sluice', failure, gaps);
  } finally {
    await lab.close();
  }
}

/** The same by keepalived (VRRP) with its default times; each node answers by itself. */
export async function measureKeepalived(failure: Failure, trials: number): Promise<Gaps> {
  const net = await EdgeLab.start('keepalived', { podsPerNode: [0, 0, 0], agent: null });
  const servers = net.nodes.map(({ netns }) => new Peer(netns));
  const daemons = new Map<LabNode, ReturnType<typeof spawn>>();
  try {
    for (const [i, node] of net.nodes.entries()) {
      await servers[i]?.serve({ protocol: 'tcp', address: '0.0.0.0', port: 80, name: node.name });
      daemons.set(node, keepalived(node, 100 - i));
    }
    const gaps: number[] = [];
    for (let i = 0; i < trials; i++) {
      const holder = await eventually(async () => {
        const shown = await Promise.all(net.nodes.map(({ netns }) => netns.exec('ip', '-o', 'address')));
        const having = net.nodes.filter((_, k) => shown[k]?.includes(` ${vip}/`));
        return having.length === 1 ? having[0] : undefined;
      }, 'one holder');
      gaps.push(
        await gapOf(net.client, {
          prefix: 'node-',
          happen: () => fail(net, holder, failure, (name) => signal(daemons.get(holder), name)),
          watchMs: watchMs[failure],
        }),
      );
      signal(daemons.get(holder), 'SIGKILL');
      await holder.netns.ip(`addr del ${vip}/32 dev eth0`).catch(() => {});
      await mend(net, holder);
      daemons.set(holder, keepalived(holder, 100 - net.nodes.indexOf(holder)));
    }
    return summary('keepalived', failure, gaps);
  } finally {
    for (const daemon of daemons.values()) signal(daemon, 'SIGKILL');
    await Promise.all(servers.map((server) => server.end()));
    await net.close();
  }
}

async function fail(
  net: EdgeLab,
  node: LabNode,
  failure: Failure,
  stop: (name: NodeJS.Signals) => void,
): Promise<void> {
  if (failure === 'frozen') return stop('SIGSTOP');
  if (failure === 'gone') stop('SIGSTOP');
  await net.lan.ip(failure === 'gone' ? `link set ${portOf(node)} nomaster` : `link set ${portOf(node)} down`);
}

async function mend(net: EdgeLab, node: LabNode): Promise<void> {
  await net.lan.ip(`link set ${portOf(node)} master br0`, `link set ${portOf(node)} up`);
}

/** Asks all the time, from before something happens until a while after; returns the longest time without an answer. */
async function gapOf(client: Peer, asking: Asking): Promise<number> {
  const ask = async () => {
    await setTimeout(askEveryMs);
    const [answer = ''] = await client.ask({ protocol: 'tcp', address: vip, port: 80, count: 1, timeoutMs: 50 });
    if (answer === 'EADDRNOTAVAIL') throw new Error('the client has no port left to ask from');
    return answer.startsWith(asking.prefix);
  };
  await eventually(async () => ((await ask()) ? true : undefined), 'an answer before');
  const beganMs = performance.now();
  let lastMs = beganMs;
  let longestMs = 0;
  await asking.happen();
  while (performance.now() - beganMs < asking.watchMs || performance.now() - lastMs > 1_000) {
    if (performance.now() - beganMs > 60_000) throw new Error('traffic has not come back');
    if (!(await ask())) continue;
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
  }
  return longestMs;
}

interface Asking {
  /** Of an answer that counts. */
  readonly prefix: string;
  happen(): Promise<void>;
  /** From then on it is asked at least so long. */
  readonly watchMs: number;
}

/** What hangs is noticed when the lifetime of its address is over. */
const watchMs = { gone: 5_000, cut: 5_000, frozen: 13_000 } as const satisfies Record<Failure, number>;
/** A port that was asked from is not asked from again for a minute, and there are 28,000: without a pause they run out. */
const askEveryMs = 4;

function keepalived({ netns, name }: LabNode, priority: number): ReturnType<typeof spawn> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-keepalived-'));
  const text = `vrrp_instance v {
  state BACKUP
  interface eth0
  virtual_router_id 51
  priority ${priority}
  virtual_ipaddress {
    ${vip}/32
  }
}
`;
  writeFileSync(join(folder, 'keepalived.conf'), text);
  const [ip = '', ...args] = [...netns.entry, 'keepalived', '-n', '-P', '-f', join(folder, 'keepalived.conf')];
  const files = ['-p', join(folder, `${name}.pid`), '-r', join(folder, `${name}-vrrp.pid`)];
  return spawn(ip, [...args, ...files], { stdio: 'ignore', detached: true });
}

/** To the daemon and its children. */
function signal(daemon: ReturnType<typeof spawn> | undefined, name: NodeJS.Signals): void {
  if (daemon?.pid !== undefined) process.kill(-daemon.pid, name);
}

function portOf({ name }: LabNode): string {
  return `n${name.slice('node-'.length)}`;
}

function summary(who: string, failure: Failure, gaps: number[]): Gaps {
  const sorted = gaps.map(Math.round).sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { who, failure, trials: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) };
}
