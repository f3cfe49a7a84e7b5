import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ack, ChangeBatch } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import type { PlanKind, PlanRow, PlanRows } from '#table/plan.ts';
import type { EdgeStatus } from '../../proxy/edge/status.ts';
import { Control } from '../../proxy/speak/control.ts';
import { birdFolder, files } from '../../proxy/speak/files.ts';
import { silenceBird } from '../../proxy/speak/silence.ts';
import type { SessionState } from '../../proxy/speak/states.ts';
import { agentDefaults } from './agentoptions.ts';
import { BirdRouter } from './birdrouter.ts';
import { cable, Netns } from './netns.ts';
import { RemoteProcess } from './peer.ts';
import { planRow } from './plans.ts';
import { eventually } from './wait.ts';

/**
 * Nodes with agents, and a router that knows each of them as `node1`, `node2` …, on one network. The plan is what the test
 * says; all agents have the same. AS 64512 are the nodes, AS 64513 the router.
 */
export class BgpLab {
  readonly router: BirdRouter;
  readonly nodes: readonly BgpNode[];
  readonly #lan: Netns;
  readonly #spaces: readonly Netns[];
  readonly #rows = new Map<string, PlanRow>();
  #generation = 0;

  private constructor(router: BirdRouter, nodes: readonly BgpNode[], lan: Netns, spaces: readonly Netns[]) {
    this.router = router;
    this.nodes = nodes;
    this.#lan = lan;
    this.#spaces = spaces;
  }

  /** `neighbour`: what the router says of each node beside its address and AS. */
  static async start(name: string, nodeCount: number, neighbour = ''): Promise<BgpLab> {
    const spaces: Netns[] = [];
    const make = async (part: string): Promise<Netns> => {
      const space = await Netns.make(`${name}-${part}`);
      spaces.push(space);
      return space;
    };
    try {
      const lan = await make('lan');
      await lan.ip('link add br0 type bridge', 'link set br0 up');
      const join = async (part: string, host: number): Promise<Netns> => {
        const space = await make(part);
        await cable(lan, part, space, 'eth0');
        await lan.ip(`link set ${part} master br0`);
        await space.ip(`addr add ${address(host)}/24 dev eth0`, `addr add ${address6(host)}/64 dev eth0 nodad`);
        return space;
      };
      const router = await BirdRouter.start(
        await join('router', routerHost),
        address(routerHost),
        routerProtocols(nodeCount, neighbour),
      );
      const nodes: BgpNode[] = [];
      for (let host = 1; host <= nodeCount; host++) {
        nodes.push(new BgpNode(`node-${host}`, await join(`n${host}`, host), address(host), address6(host)));
      }
      const lab = new BgpLab(router, nodes, lan, spaces);
      for (const node of nodes) await node.startAgent();
      await lab.apply(
        nodes.map(({ name, address, address6 }) => planRow('node', { id: name, addresses: [address, address6] })),
      );
      return lab;
    } catch (error) {
      for (const space of spaces) await space.remove();
      throw error;
    }
  }

  /** The first one. */
  get node(): BgpNode {
    const [first] = this.nodes;
    if (first === undefined) throw new Error('a lab has a node');
    return first;
  }

  /** A peer row of the router, for all nodes unless `fields` say otherwise. */
  peer(id: string, fields: Partial<PlanRows['peer']> = {}): PlanRow {
    const nodes = this.nodes.map(({ name }) => name);
    return planRow('peer', { id, nodes, address: routerAddress, localAsn: 64_512, peerAsn: 64_513, ...fields });
  }

  /** An announcement by BGP from all nodes to all peers, unless `bgp` or `nodes` say otherwise. */
  announcement(id: string, bgp: Partial<NonNullable<PlanRows['announcement']['bgp']>> = {}, nodes?: string[]): PlanRow {
    const plain = { peerIds: [], communities: [], largeCommunities: [], localPreference: null };
    const lengths = { aggregationLength4: 32, aggregationLength6: 128 };
    return planRow('announcement', {
      id,
      nodes: nodes ?? this.nodes.map(({ name }) => name),
      bgp: { ...plain, ...lengths, ...bgp },
    });
  }

  /** Applies a change at all agents, as the plan stream would. */
  async apply(rows: readonly PlanRow[], gone: readonly { kind: PlanKind; id: string }[] = []): Promise<void> {
    for (const { kind, id } of gone) this.#rows.delete(`${kind} ${id}`);
    for (const row of rows) this.#rows.set(`${row.kind} ${row.row.id}`, row);
    const isSnapshot = this.#generation++ === 0;
    await this.#send(this.nodes, { isSnapshot, upserts: rows, deletes: gone, commit: this.#commit() });
  }

  /** Gives an agent that has begun anew the whole plan. */
  async resend(node: BgpNode): Promise<void> {
    await this.#send([node], {
      isSnapshot: true,
      upserts: [...this.#rows.values()],
      deletes: [],
      commit: this.#commit(),
    });
  }

  /** Waits until the router has these routes and no others: `203.0.113.1/32 172.30.0.1`, each with its next hop. */
  async expectHops(...hops: readonly string[]): Promise<void> {
    const wanted = [...hops].sort().join(', ');
    let last = '';
    await eventually(async () => {
      last = (await this.router.hops()).join(', ');
      return last === wanted ? true : undefined;
    }, `the routes ${wanted}`).catch((error) => {
      throw new Error(`${error.message}; there are ${last}`);
    });
  }

  async established(protocol = 'node1'): Promise<SessionState> {
    return eventually(async () => {
      const session = await this.router.session(protocol);
      return session.state === 'Established' ? session : undefined;
    }, `the session ${protocol}`);
  }

  /** Takes a node off the network without its noticing: no carrier is lost. */
  async silence(node: BgpNode): Promise<void> {
    await this.#lan.ip(`link set n${this.nodes.indexOf(node) + 1} nomaster`);
  }

  async rejoin(node: BgpNode): Promise<void> {
    await this.#lan.ip(`link set n${this.nodes.indexOf(node) + 1} master br0`);
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.close();
    await this.router.end();
    for (const space of this.#spaces) await space.remove();
  }

  #commit() {
    const hash = new TableHash();
    for (const { kind, row } of this.#rows.values()) hash.add(rowHash(kind, canonicalJson(row)));
    return { schemaVersion: 1, generation: this.#generation, hash: hash.text(), seen: {}, holds: {} };
  }

  async #send(nodes: readonly BgpNode[], batch: ChangeBatch<PlanRows>): Promise<void> {
    const acks = await Promise.all(nodes.map((node) => node.send(batch)));
    for (const ack of acks) if (ack.type === 'refused') throw new Error(ack.problems[0]?.message);
  }
}

/** A node of the lab. */
export class BgpNode {
  readonly name: string;
  readonly netns: Netns;
  readonly address: string;
  readonly address6: string;
  readonly runDir = mkdtempSync(join(tmpdir(), 'sluice-run-'));
  #agent: RemoteProcess | null = null;
  #adminPort = 0;

  constructor(name: string, netns: Netns, address: string, address6: string) {
    this.name = name;
    this.netns = netns;
    this.address = address;
    this.address6 = address6;
  }

  async startAgent(): Promise<void> {
    const options = { ...agentDefaults(this.name, this.runDir), services: 'loadbalancer' };
    this.#agent = new RemoteProcess(this.netns, 'edgeagent.ts');
    const { adminPort } = await this.#agent.send<{ adminPort: number }>({ kind: 'start', options, logLevel: 'error' });
    this.#adminPort = adminPort;
  }

  send(batch: ChangeBatch<PlanRows>): Promise<Ack> {
    if (this.#agent === null) throw new Error(`${this.name} has no agent`);
    return this.#agent.send({ kind: 'apply', batch });
  }

  /** Waits until controllers would be told these. */
  async announces(...expected: readonly string[]): Promise<void> {
    await eventually(
      async () => {
        const announced = await this.#agent?.send<string[]>({ kind: 'announced' });
        return announced?.join() === expected.join() ? true : undefined;
      },
      `${this.name} to say that it announces ${expected.join() || 'nothing'}`,
    );
  }

  /** As the agent ends after SIGTERM, or by it, if no signal is given. */
  async endAgent(how: 'stop' | 'SIGKILL'): Promise<void> {
    if (how === 'stop') await this.#agent?.send({ kind: 'stop' });
    await this.#agent?.end('SIGKILL');
  }

  async page(path: string): Promise<string> {
    const url = `http://127.0.0.1:${this.#adminPort}${path}`;
    return this.netns.exec(process.execPath, '-e', `fetch('${url}').then(async (r) => console.log(await r.text()))`);
  }

  async status(): Promise<EdgeStatus> {
    return JSON.parse(await this.page('/status'));
  }

  /** Path of one of BIRD's files. */
  file(name: keyof typeof files): string {
    return join(this.runDir, birdFolder, files[name]);
  }

  /** What its BIRD answers, as text. */
  async askBird(command: string): Promise<string> {
    const control = await Control.open(this.file('socket'));
    const { lines } = await control.ask(command);
    control.close();
    return lines.map(({ text }) => text).join('\n');
  }

  /** Of its BIRD; 0: there is none. */
  birdPid(): number {
    return existsSync(this.file('pid')) ? Number(readFileSync(this.file('pid'), 'utf8')) : 0;
  }

  /** As `sluice edge cleanup` does it. */
  async cleanUp(): Promise<void> {
    await silenceBird(this.runDir);
  }

  async close(): Promise<void> {
    await this.endAgent('SIGKILL');
    await this.cleanUp();
    rmSync(this.runDir, { recursive: true });
  }
}

const routerHost = 254;
export const routerAddress = address(routerHost);
export const routerAddress6 = address6(routerHost);

function address(host: number): string {
  return `172.30.0.${host}`;
}

function address6(host: number): string {
  return `fd30::${host.toString(16)}`;
}

/** Sessions with all nodes that take and give nothing but what a test is about. */
function routerProtocols(nodeCount: number, neighbour: string): string {
  const channels = 'ipv4 { import all; export none; }; ipv6 { import all; export none; };';
  const timers = 'connect delay time 1; connect retry time 1; error wait time 1, 2;';
  const sessions = Array.from({ length: nodeCount }, (_, i) =>
    [
      `protocol bgp node${i + 1} { local as 64513; neighbor ${address(i + 1)} as 64512; direct;`,
      `${timers} ${neighbour} ${neighbour.includes('ipv4 {') ? '' : channels} }`,
    ].join(' '),
  );
  return [
    'protocol bfd { interface "*" { min rx interval 300 ms; min tx interval 300 ms; multiplier 3; }; }',
    ...sessions,
  ].join('\n');
}
