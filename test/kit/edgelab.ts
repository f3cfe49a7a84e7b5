import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Ack, ChangeBatch } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import type { PlanKind, PlanRow, PlanRows } from '#table/plan.ts';
import type { EdgeEndpoint } from '#table/service.ts';
import { silenceBird } from '../../proxy/speak/silence.ts';
import { type AgentOptions, agentDefaults } from './agentoptions.ts';
import type { Manifest } from './apiserver.ts';
import { cable, Netns } from './netns.ts';
import { Peer, RemoteProcess } from './peer.ts';
import { plainEndpoint, planRow } from './plans.ts';

export interface LabOptions {
  /** Pods of each node; the first node has an agent. */
  readonly podsPerNode: readonly number[];
  /** Settings of the agent; null: there is none. */
  readonly agent?: Partial<AgentOptions> | null;
}

/**
 * A small cluster: nodes and a client on one network, pods behind nodes, and the agent of this project on the first node,
 * through which the client reaches whatever is not on the network. Pods serve TCP and UDP on 8080 and say their names.
 */
export class EdgeLab {
  /** The switch that joins nodes and client. */
  readonly lan: Netns;
  readonly client: Peer;
  readonly nodes: readonly LabNode[];
  readonly pods: readonly LabPod[];
  readonly #spaces: readonly Netns[];
  readonly #agentOptions: Partial<AgentOptions> | null;
  /** What goes on when an agent ends. */
  readonly runDir = mkdtempSync(join(tmpdir(), 'sluice-run-'));
  readonly #rows = new Map<string, PlanRow>();
  #agent: RemoteProcess | null = null;
  #generation = 0;

  private constructor(
    lan: Netns,
    client: Peer,
    nodes: readonly LabNode[],
    spaces: readonly Netns[],
    options: LabOptions,
  ) {
    this.lan = lan;
    this.client = client;
    this.nodes = nodes;
    this.pods = nodes.flatMap(({ pods }) => pods);
    this.#spaces = spaces;
    this.#agentOptions = options.agent === undefined ? {} : options.agent;
  }

  /** `name` tells labs of one process apart. */
  static async start(name: string, options: LabOptions): Promise<EdgeLab> {
    const spaces: Netns[] = [];
    const make = async (part: string): Promise<Netns> => {
      const space = await Netns.make(`${name}-${part}`);
      spaces.push(space);
      return space;
    };
    try {
      const lan = await make('lan');
      await lan.ip('link add br0 type bridge', 'link set br0 up');
      const join = async (space: Netns, port: string, host: number): Promise<void> => {
        await cable(lan, port, space, 'eth0');
        await lan.ip(`link set ${port} master br0`);
        await space.ip(`addr add ${lanAddress(host)}/24 dev eth0`, `addr add ${lanAddress6(host)}/64 dev eth0 nodad`);
      };
      const nodes: LabNode[] = [];
      for (const [i, podCount] of options.podsPerNode.entries()) {
        const host = i + 1;
        const netns = await make(`n${host}`);
        await join(netns, `n${host}`, host);
        await netns.sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
        // A refusal that is not told for its rate looks like none.
        await netns.sysctl('net.ipv4.icmp_ratelimit=0', 'net.ipv6.icmp.ratelimit=0');
        await netns.ip(
          `route add default via ${lanAddress(clientHost)}`,
          `-6 route add default via ${lanAddress6(clientHost)}`,
        );
        const node = { name: `node-${host}`, netns, address: lanAddress(host), address6: lanAddress6(host) };
        const pods = [];
        for (let k = 1; k <= podCount; k++) pods.push(await makePod(node, await make(`p${host}-${k}`), host, k));
        nodes.push({ ...node, pods });
      }
      for (const [i, node] of nodes.entries()) {
        for (const [k, other] of nodes.entries()) {
          if (k === i) continue;
          await node.netns.ip(
            `route add ${podCidr(k + 1)} via ${other.address}`,
            `-6 route add ${podCidr6(k + 1)} via ${other.address6}`,
          );
        }
      }
      const outside = await make('client');
      await join(outside, 'client', clientHost);
      await outside.ip(`route add default via ${lanAddress(1)}`, `-6 route add default via ${lanAddress6(1)}`);
      const client = new Peer(outside);
      const lab = new EdgeLab(lan, client, nodes, spaces, options);
      await lab.#startAgent();
      return lab;
    } catch (error) {
      for (const space of spaces) await space.remove();
      throw error;
    }
  }

  /** The one with the agent. */
  get node(): LabNode {
    const [first] = this.nodes;
    if (first === undefined) throw new Error('a lab has a node');
    return first;
  }

  pod(name: string): LabPod {
    const pod = this.pods.find((each) => each.name === name);
    if (pod === undefined) throw new Error(`there is no ${name}`);
    return pod;
  }

  /** Rows of the nodes, as a plan has them. */
  nodeRows(): PlanRow[] {
    return this.nodes.map(({ name, address, address6 }, i) =>
      planRow('node', { id: name, addresses: [address, address6], podCidrs: [podCidr(i + 1), podCidr6(i + 1)] }),
    );
  }

  /** The endpoints that these pods are, in both families. */
  endpoints(...names: readonly string[]): EdgeEndpoint[] {
    return names.flatMap((name) => {
      const { address, address6, node } = this.pod(name);
      return [address, address6].map((each) => ({ ...plainEndpoint, address: each, port: 8080, node }));
    });
  }

  /** A Service with one port, 80, and its endpoints: these pods, as they are or as `state` says. */
  service(name: string, pods: readonly string[], fields: ServiceFields = {}): PlanRow[] {
    const { protocol = 'tcp', port = 80, nodePort = null, state = {}, ...rest } = fields;
    const endpointsId = `test/${name}/${protocol}`;
    return [
      planRow('endpoints', {
        id: endpointsId,
        endpoints: this.endpoints(...pods).map((each) => ({ ...each, ...state })),
      }),
      planRow('service', {
        id: `test/${name}`,
        name,
        ports: [{ name: '', protocol, port, nodePort, endpointsId }],
        ...rest,
      }),
    ];
  }

  /** What Kubernetes would say of the pods behind a Service: these, or all. */
  slice(namespace: string, service: string, ...names: readonly string[]): Manifest {
    const pods = names.length > 0 ? names.map((name) => this.pod(name)) : this.pods;
    return {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: service, namespace, labels: { 'kubernetes.io/service-name': service } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
      endpoints: pods.map(({ address, node: nodeName }) => ({ addresses: [address], nodeName })),
    };
  }

  /** Puts rows and drops others, and applies what changed as the plan stream would: as one batch. */
  async apply(rows: readonly PlanRow[], gone: readonly { kind: PlanKind; id: string }[] = []): Promise<Ack> {
    for (const { kind, id } of gone) this.#rows.delete(`${kind} ${id}`);
    for (const row of rows) this.#rows.set(`${row.kind} ${row.row.id}`, row);
    const isSnapshot = this.#generation === 0;
    const upserts = isSnapshot ? [...this.#rows.values()] : rows;
    return this.#send({ isSnapshot, upserts, deletes: gone, commit: this.#commit() });
  }

  /** Ends the agent as a crash would, and starts another in its place; `stateDir` of the options is what outlives it. */
  async restartAgent(): Promise<void> {
    await this.#agent?.end('SIGKILL');
    await this.#startAgent();
  }

  /** Gives a new agent the whole plan. */
  resend(): Promise<Ack> {
    return this.#send({ isSnapshot: true, upserts: [...this.#rows.values()], deletes: [], commit: this.#commit() });
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent?.end(), this.client.end(), ...this.pods.map(({ peer }) => peer.end())]);
    await silenceBird(this.runDir);
    rmSync(this.runDir, { recursive: true });
    for (const space of this.#spaces) await space.remove();
  }

  #commit() {
    const hash = new TableHash();
    for (const { kind, row } of this.#rows.values()) hash.add(rowHash(kind, canonicalJson(row)));
    return { schemaVersion: 1, generation: ++this.#generation, hash: hash.text(), seen: {}, holds: {} };
  }

  #send(batch: ChangeBatch<PlanRows>): Promise<Ack> {
    if (this.#agent === null) throw new Error('this lab has no agent');
    return this.#agent.send({ kind: 'apply', batch });
  }

  async #startAgent(): Promise<void> {
    if (this.#agentOptions === null) return;
    const options = { ...agentDefaults(this.node.name, this.runDir), ...this.#agentOptions };
    this.#agent = new RemoteProcess(this.node.netns, 'edgeagent.ts');
    await this.#agent.send({ kind: 'start', options, logLevel: 'error' });
  }
}

export interface ServiceFields extends Partial<PlanRows['service']> {
  protocol?: 'tcp' | 'udp';
  port?: number;
  nodePort?: number | null;
  /** Of all endpoints. */
  state?: Partial<EdgeEndpoint>;
}

export interface LabNode {
  readonly name: string;
  readonly netns: Netns;
  readonly address: string;
  readonly address6: string;
  readonly pods: readonly LabPod[];
}

export interface LabPod {
  readonly name: string;
  /** Name of its node. */
  readonly node: string;
  readonly address: string;
  readonly address6: string;
  readonly peer: Peer;
}

/** On a link of its own to its node, so that what two pods of a node say to each other goes through the node's rules. */
async function makePod(node: Omit<LabNode, 'pods'>, netns: Netns, host: number, k: number): Promise<LabPod> {
  const [gateway, address] = [`10.244.${host}.${4 * k + 1}`, `10.244.${host}.${4 * k + 2}`];
  const [gateway6, address6] = [`fd44:${host}::${k}:1`, `fd44:${host}::${k}:2`];
  await cable(node.netns, `pod${k}`, netns, 'eth0');
  await node.netns.ip(`addr add ${gateway}/30 dev pod${k}`, `addr add ${gateway6}/112 dev pod${k} nodad`);
  await netns.ip(
    `addr add ${address}/30 dev eth0`,
    `addr add ${address6}/112 dev eth0 nodad`,
    `route add default via ${gateway}`,
    `-6 route add default via ${gateway6}`,
  );
  const name = `pod-${host}${'abcdefgh'[k - 1]}`;
  const peer = new Peer(netns);
  for (const each of [address, address6]) {
    for (const protocol of ['tcp', 'udp'] as const) await peer.serve({ protocol, address: each, port: 8080, name });
  }
  return { name, node: node.name, address, address6, peer };
}

const clientHost = 100;

function lanAddress(host: number): string {
  return `172.30.0.${host}`;
}

function lanAddress6(host: number): string {
  return `fd30::${host.toString(16)}`;
}

function podCidr(host: number): string {
  return `10.244.${host}.0/24`;
}

function podCidr6(host: number): string {
  return `fd44:${host}::/32`;
}

/** Who answered, each once, in order. */
export function namesOf(answers: readonly string[]): string[] {
  return [...new Set(answers.map((answer) => answer.split(' ')[0] ?? ''))].sort();
}
