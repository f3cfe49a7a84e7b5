import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { Ack } from '#table/change.ts';
import { heartbeatSecretId, type PlanKind, type PlanRow, type PlanRows } from '#table/plan.ts';
import type { EdgeStatus } from '../../proxy/edge/status.ts';
import { type AgentOptions, agentDefaults } from './agentoptions.ts';
import { EdgeLab, type LabNode } from './edgelab.ts';
import { Peer, RemoteProcess } from './peer.ts';
import { planRow, planSnapshot } from './plans.ts';
import { eventually } from './wait.ts';

/** A small cluster whose every node has an agent that announces by layer 2, and somebody who hears what the network says. */
export class L2Lab {
  readonly net: EdgeLab;
  readonly agents: L2Agent[];
  readonly #rows = new Map<string, PlanRow>();
  readonly #hosts: Peer[] = [];

  private constructor(net: EdgeLab, agents: L2Agent[]) {
    this.net = net;
    this.agents = agents;
  }

  /**
   * @param running how many of the nodes have an agent from the beginning; all when it is left out
   * @param lifetimeS of addresses: long where a machine that stumbles must lose none
   */
  static async start(
    name: string,
    podsPerNode: readonly number[],
    { running = podsPerNode.length, lifetimeS = 10 }: { running?: number; lifetimeS?: number } = {},
  ): Promise<L2Lab> {
    const net = await EdgeLab.start(name, { podsPerNode, agent: null });
    const lab = new L2Lab(
      net,
      net.nodes.map((node) => new L2Agent(node, lifetimeS, join(net.runDir, node.name))),
    );
    lab.#put([
      ...net.nodeRows(),
      planRow('secret', { id: heartbeatSecretId, value: Buffer.alloc(32, 7).toString('base64') }),
    ]);
    await Promise.all(lab.agents.slice(0, running).map((agent) => agent.start()));
    return lab;
  }

  agent(node: string): L2Agent {
    const agent = this.agents.find((each) => each.node.name === node);
    if (agent === undefined) throw new Error(`there is no ${node}`);
    return agent;
  }

  /** A Service at these addresses whose endpoints are pods, and how they are announced. */
  service(
    name: string,
    addresses: readonly string[],
    pods: readonly string[],
    fields: Partial<PlanRows['service']> = {},
  ) {
    return [
      ...this.net.service(name, pods, {
        vips: addresses.map((address) => ({ address, owner: 'sluice' as const, ipMode: 'vip' as const })),
        ...fields,
      }),
      ...addresses.map((id) =>
        planRow('address', { id, pool: 'pool', serviceIds: [`test/${name}`], announcementIds: ['l2'] }),
      ),
    ];
  }

  announcement(fields: Partial<PlanRows['announcement']> = {}): PlanRow {
    const nodes = this.net.nodes.map((node) => node.name);
    return planRow('announcement', { id: 'l2', nodes, layer2: { interfaces: [] }, bgp: null, ...fields });
  }

  /** Puts rows and drops others, in the plan of every agent that runs. */
  async apply(rows: readonly PlanRow[], gone: readonly { kind: PlanKind; id: string }[] = []): Promise<Ack[]> {
    this.#put(rows);
    for (const { kind, id } of gone) this.#rows.delete(`${kind} ${id}`);
    return Promise.all(this.agents.filter((agent) => agent.isRunning).map((agent) => this.tell(agent)));
  }

  /** Gives one agent the plan. */
  tell(agent: L2Agent): Promise<Ack> {
    return agent.apply([...this.#rows.values()]);
  }

  /** Which nodes have each of the addresses in their kernels. */
  async places(...addresses: readonly string[]): Promise<string[][]> {
    const shown = await Promise.all(
      this.net.nodes.map(async ({ name, netns }) => ({ name, text: await netns.exec('ip', '-o', 'address', 'show') })),
    );
    return addresses.map((address) => {
      return shown.filter(({ text }) => text.includes(` ${address}/`)).map(({ name }) => name);
    });
  }

  /** Nodes whose kernel has the address, by name. */
  async holders(address: string): Promise<string[]> {
    return (await this.places(address))[0] ?? [];
  }

  /** Waits until exactly one node has each of the addresses. @param isIt more that must hold of it */
  async settled(addresses: readonly string[], isIt: (node: string) => boolean = () => true): Promise<string[]> {
    return eventually(async () => {
      await setTimeout(pollMs);
      const holders = (await this.places(...addresses)).flatMap((nodes) => (nodes.length === 1 ? nodes : []));
      return holders.length === addresses.length && holders.every(isIt) ? holders : undefined;
    }, `one holder of ${addresses.join()}`);
  }

  async holder(address: string, isIt?: (node: string) => boolean): Promise<string> {
    const [holder = ''] = await this.settled([address], isIt);
    return holder;
  }

  /** Waits until an agent hears so many others, and they it. */
  async heard(node: string, count: number): Promise<void> {
    await eventually(async () => {
      await setTimeout(pollMs);
      const { announcing } = await this.agent(node).status();
      const [layer2] = announcing.filter(({ way }) => way === 'layer2');
      return layer2?.peers.filter(({ isUp }) => isUp).length === count ? true : undefined;
    }, `${node} to hear ${count} others`);
  }

  /** Waits until an agent has asked so many times more whether somebody answers for an address. */
  async probed(node: string, times: number): Promise<void> {
    const asked = async () =>
      Number(/^sluice_layer2_questions_total (\d+)$/m.exec(await this.agent(node).metrics())?.[1]);
    const before = await asked();
    await eventually(async () => {
      await setTimeout(pollMs);
      return (await asked()) >= before + times ? true : undefined;
    }, `${times} questions of ${node}`);
  }

  async macOf(node: string): Promise<string> {
    return (await this.agent(node).node.netns.exec('cat', '/sys/class/net/eth0/address')).trim();
  }

  /** Whether the client reaches a pod at port 80 of the address; it knows no neighbour from before. */
  async isServed(address: string): Promise<boolean> {
    const [answer = ''] = await this.net.client.ask({ protocol: 'tcp', address, port: 80, count: 1, timeoutMs: 1_000 });
    return answer.startsWith('pod-');
  }

  async served(address: string): Promise<void> {
    await eventually(async () => ((await this.isServed(address)) ? true : undefined), `an answer at ${address}`);
  }

  /** A server of the host itself, that says `host`, on all addresses. */
  async hostServer(node: LabNode, port: number): Promise<void> {
    const peer = new Peer(node.netns);
    this.#hosts.push(peer);
    await peer.serve({ protocol: 'tcp', address: '0.0.0.0', port, name: 'host' });
  }

  /** Cuts the cable of a node, at the side of the switch, or mends it. */
  cable(node: LabNode, state: 'up' | 'down'): Promise<void> {
    return this.net.lan.ip(`link set n${node.name.slice('node-'.length)} ${state}`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.agents.map((agent) => agent.kill()), ...this.#hosts.map((host) => host.end())]);
    await this.net.close();
  }

  #put(rows: readonly PlanRow[]): void {
    for (const row of rows) this.#rows.set(`${row.kind} ${row.row.id}`, row);
  }
}

/** Asking costs processes. */
const pollMs = 50;

/** The agent of one node. */
export class L2Agent {
  readonly node: LabNode;
  #process: RemoteProcess | null = null;
  readonly #lifetimeS: number;
  readonly #runDir: string;
  #generation = 0;
  #adminPort = 0;

  constructor(node: LabNode, lifetimeS: number, runDir: string) {
    this.node = node;
    this.#runDir = runDir;
    this.#lifetimeS = lifetimeS;
  }

  get isRunning(): boolean {
    return this.#process !== null;
  }

  async start(options: Partial<AgentOptions> = {}): Promise<void> {
    this.#process = new RemoteProcess(this.node.netns, 'edgeagent.ts');
    const all: AgentOptions = {
      ...agentDefaults(this.node.name, this.#runDir),
      services: 'loadbalancer',
      addressLifetimeS: this.#lifetimeS,
      ...options,
    };
    const { adminPort } = await this.#process.send<{ adminPort: number }>({
      kind: 'start',
      options: all,
      logLevel: process.env['LAB_LOG'] ?? 'fatal',
    });
    this.#adminPort = adminPort;
  }

  apply(rows: readonly PlanRow[]): Promise<Ack> {
    if (this.#process === null) throw new Error(`the agent of ${this.node.name} does not run`);
    const batch = planSnapshot(rows, { generation: ++this.#generation });
    return this.#process.send({ kind: 'apply', batch });
  }

  async status(): Promise<EdgeStatus> {
    return JSON.parse(await this.#page('status')) as EdgeStatus;
  }

  metrics(): Promise<string> {
    return this.#page('metrics');
  }

  #page(path: string): Promise<string> {
    const url = `http://127.0.0.1:${this.#adminPort}/${path}`;
    return this.node.netns.exec('curl', '-sf', url);
  }

  /** As the stream would say whether controllers are there. */
  async setLive(isLive: boolean): Promise<void> {
    await this.#process?.send({ kind: 'live', isLive });
  }

  signal(name: NodeJS.Signals): void {
    this.#process?.signal(name);
  }

  /** Ends as on SIGTERM. */
  async stop(): Promise<void> {
    await this.#process?.send({ kind: 'stop' });
    await this.kill();
  }

  /** @returns what `sluice edge cleanup` says */
  cleanUp(): Promise<string> {
    const sluice = join(import.meta.dirname, '..', '..', 'sluice.ts');
    return this.node.netns.exec(process.execPath, sluice, 'edge', 'cleanup', '--run-dir', this.#runDir);
  }

  async kill(): Promise<void> {
    const process = this.#process;
    this.#process = null;
    await process?.end('SIGKILL');
  }
}

/** What goes over the network, as somebody on it sees it: lines of tcpdump. */
export class Listener {
  readonly lines: string[] = [];
  readonly #child: ChildProcess;
  readonly #ready: Promise<void>;

  /** @param filter of tcpdump */
  constructor(lab: L2Lab, filter: string) {
    const [ip = '', ...args] = [...lab.net.client.netns.entry, 'tcpdump', '-lnne', '-i', 'eth0', filter];
    this.#child = spawn(ip, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#ready = promise;
    this.#child.stderr?.on('data', (text: Buffer) => {
      if (text.includes('listening on')) resolve();
    });
    let rest = '';
    this.#child.stdout?.on('data', (text: Buffer) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
    });
  }

  ready(): Promise<void> {
    return this.#ready;
  }

  async heard(pattern: RegExp): Promise<string> {
    return eventually(async () => this.lines.find((line) => pattern.test(line)), `a packet like ${pattern}`);
  }

  async end(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await gone;
  }
}
