import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EdgeLab } from '../../test/kit/edgelab.ts';
import { skipWithoutNetns } from '../../test/kit/netns.ts';
import { RemoteProcess } from '../../test/kit/peer.ts';
import type { ControllerMessage, Took } from '../../test/kit/plancontroller.ts';
import { SluiceProcess } from '../../test/kit/sluice.ts';

export interface EdgeOutcome {
  services: number;
  endpoints: number;
  /** From the rows of the whole plan in a controller to "applied" by the agent, ms. */
  fullLoadMs: number;
  /** How much of it the controller took before it sent any. A node that comes to a controller that is there waits for the rest. */
  commitMs: number;
  /** CPU time of the agent and of nft for it, ms: what a machine that does nothing else would need. */
  fullLoadCpuMs: number;
  /** The same for a change of one endpoint. */
  changeMs: { p50: number; p90: number; max: number };
  /** Of the agent after all that, and the most that it ever had, MB. */
  rssMb: number;
  peakRssMb: number;
  /** Of `connections` that were opened while `changes` endpoints changed. */
  failed: number;
  connections: number;
}

/**
 * What a plan of many Services costs a node, through everything that is there: publisher, TLS, stream, checks, renderer,
 * nft, kernel, acknowledgement. While endpoints change, a client opens connections to a Service with real endpoints, of
 * which one after the other is taken out and put back.
 */
export async function measureEdge(services: number, endpoints: number, changes = 60): Promise<EdgeOutcome> {
  const skip = await skipWithoutNetns();
  if (skip !== false) throw new Error(skip);
  const folder = mkdtempSync(join(tmpdir(), 'sluice-edge-bench-'));
  const lab = await EdgeLab.start('bench', { podsPerNode: [3], agent: null });
  const controller = new RemoteProcess(lab.client.netns, 'plancontroller.ts');
  const tell = <T>(message: ControllerMessage): Promise<T> => controller.send(message);
  let edge: SluiceProcess | null = null;
  try {
    const port = await tell<number>({ kind: 'start', folder, port: 0 });
    const flags = [
      '--node',
      lab.node.name,
      '--services',
      'all',
      '--state-dir',
      join(folder, 'state'),
      '--log-level',
      'warn',
    ];
    const follow = ['--controller', `https://172.30.0.100:${port}`, '--controller-ca', join(folder, 'ca.crt')];
    edge = new SluiceProcess(['edge', ...follow, '--token-file', join(folder, 'token'), ...flags], {}, lab.node.netns);
    const real = (pods: string[]) => lab.service('real', pods, { clusterIps: ['10.95.0.1'] });
    await tell({ kind: 'publish', rows: [...lab.nodeRows(), ...real(['pod-1a', 'pod-1b', 'pod-1c'])], gone: [] });
    const cpuBefore = cpuMsOf(edge.pid);
    const load = await tell<Took>({ kind: 'fill', services, endpoints, nodes: lab.nodeRows() });

    const fullLoadCpuMs = cpuMsOf(edge.pid) - cpuBefore;
    const times: number[] = [];
    const asking = lab.client.ask({ protocol: 'tcp', address: '10.95.0.1', port: 80, count: connections });
    const ways = [
      ['pod-1a', 'pod-1b'],
      ['pod-1b', 'pod-1c'],
      ['pod-1a', 'pod-1c'],
    ];
    for (let i = 0; i < changes; i++) {
      times.push((await tell<Took>({ kind: 'change', nth: i })).allMs);
      await tell({ kind: 'publish', rows: real(ways[i % ways.length] ?? []).slice(0, 1), gone: [] });
    }
    const answers = await asking;
    const sorted = times.sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const status = readFileSync(`/proc/${edge.pid}/status`, 'utf8');
    const mb = (key: string) => Math.round(Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1]) / 1_024);
    return {
      services,
      endpoints,
      fullLoadMs: Math.round(load.allMs),
      commitMs: Math.round(load.commitMs),
      fullLoadCpuMs,
      changeMs: { p50: round(at(0.5)), p90: round(at(0.9)), max: round(at(1)) },
      rssMb: mb('VmRSS'),
      peakRssMb: mb('VmHWM'),
      failed: answers.filter((answer) => !answer.startsWith('pod-')).length,
      connections,
    };
  } finally {
    await edge?.stop();
    await controller.end();
    await lab.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** So many clients of a Service with affinity, each once before endpoints come and go beside theirs, and once after. */
export async function measureAffinity(clients: number): Promise<{ clients: number; kept: number; failed: number }> {
  const lab = await EdgeLab.start('sticky', { podsPerNode: [4] });
  try {
    // All of a network is the client's own, so that it may speak from any address of it.
    await lab.client.netns.ip('route add local 10.77.0.0/16 dev lo');
    await lab.node.netns.ip('route add 10.77.0.0/16 via 172.30.0.100');
    const set = (pods: string[]) =>
      lab.apply(lab.service('sticky', pods, { clusterIps: ['10.95.0.2'], affinityTimeoutSeconds: 10_800 }));
    const ask = () => lab.client.askFromMany({ address: '10.95.0.2', port: 80, first: '10.77.0.1', count: clients });
    await lab.apply(lab.nodeRows());
    await set(['pod-1a', 'pod-1b']);
    const before = await ask();
    await set(['pod-1a', 'pod-1b', 'pod-1c', 'pod-1d']);
    const after = await ask();
    return {
      clients,
      kept: before.filter((answer, i) => answer === after[i]).length,
      failed: [...before, ...after].filter((answer) => !answer.startsWith('pod-')).length,
    };
  } finally {
    await lab.close();
  }
}

const connections = 2_000;

/** Of a process and of those that it has waited for, in clock ticks of 10 ms. */
function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + 10 * Number(ticks), 0);
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
