import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import { runNft } from '../edge/nft.ts';
import { familyOf, isWithin } from '../edge/prefix.ts';
import type { Family } from '../edge/sets.ts';
import type { EdgePeer } from './peers.ts';

/** Names of our tables: what copies packets to another node is not there in family inet. */
export const strayTables = ['ip sluice_strays', 'ip6 sluice_strays'] as const;

/** Where packets of connections that this node does not know are sent, for an address that it has; nowhere: it had it before. */
interface Passing {
  readonly nodes: readonly string[];
  readonly hops: readonly string[];
  readonly untilMs: number;
}

/**
 * The connections of a node that has handed over an address. Only that node knows them, but what clients send comes to the new
 * holder, which would answer it with a reset. So the holder passes it on as it is to those who had the address before, while
 * they are there: whoever knows the connection takes it, and the others are silent. Answers go to the client directly.
 *
 * TCP alone: datagrams find another endpoint, and lose no more than that.
 */
export class Strays {
  readonly #log: Log;
  /** Nodes that were heard to have an address, the latest first. */
  readonly #holders = new Map<string, readonly string[]>();
  readonly #passings = new Map<string, Passing>();
  /** Where other edges send from: what comes from them has been passed on already, and goes no further. */
  #macs: readonly string[] = [];
  /** The tables are ours: those of an earlier agent know of addresses, and of nodes, what was so in its time. */
  #isWritten = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(log: Log) {
    this.#log = log;
  }

  /** A node says that it has the address. */
  hear(address: string, node: string): void {
    const holders = this.#holders.get(address) ?? [];
    if (holders[0] !== node) this.#holders.set(address, [node, ...holders.filter((each) => each !== node)]);
  }

  lastHolder(address: string): string | undefined {
    return this.#holders.get(address)?.[0];
  }

  /**
   * To be done before addresses are taken. Where the last holder is not heard, the machine is gone: its clients had better hear
   * of it at once, by a reset.
   *
   * @param peers that are heard
   * @param networks of this node: by them others can be reached without a router
   */
  take(addresses: readonly string[], peers: readonly EdgePeer[], networks: readonly string[]): Promise<void> {
    const untilMs = performance.now() + lastingMs;
    const macs = peers.flatMap(({ links }) => links.map(({ mac }) => mac));
    this.#macs = [...new Set(macs)].filter((mac) => ethernet.test(mac));
    let isNews = !this.#isWritten;
    for (const address of addresses) {
      const holders = this.#holders.get(address) ?? [];
      const isThere = peers.some(({ node }) => node === holders[0]);
      const found = (isThere ? holders : [])
        .flatMap((node) => hopTo(node, address, peers, networks) ?? [])
        .slice(0, slots.length);
      if (this.#passings.delete(address)) isNews = true;
      if (found.length === 0) continue;
      isNews = true;
      const nodes = found.map(({ node }) => node);
      const hops = found.map(({ hop }) => hop);
      this.#passings.set(address, { nodes, hops, untilMs });
    }
    return isNews ? this.#write() : Promise.resolve();
  }

  /** Addresses are let go: from then on, what is passed on and not known here gets no reset. */
  release(addresses: readonly string[]): Promise<void> {
    const untilMs = performance.now() + lastingMs;
    for (const address of addresses) this.#passings.set(address, { nodes: [], hops: [], untilMs });
    return this.#write();
  }

  /** Whoever is gone has lost its connections. @param peers that are heard */
  keepTo(peers: readonly EdgePeer[]): Promise<void> {
    const heard = new Set(peers.map(({ node }) => node));
    const gone = [...this.#passings].filter(
      ([, { nodes, untilMs }]) =>
        untilMs < performance.now() || (nodes.length > 0 && !nodes.some((node) => heard.has(node))),
    );
    for (const [address] of gone) this.#passings.delete(address);
    return gone.length > 0 ? this.#write() : Promise.resolve();
  }

  /** One after the other; an address is not kept waiting for it for ever, and none depends on it. */
  #write(): Promise<void> {
    this.#isWritten = true;
    this.#turn = this.#turn.then(async () => {
      const text = ([4, 6] as const).map((family) => this.#tableOf(family)).join('');
      await runNft(['-f', '-'], [text]).catch((error) =>
        this.#log.warn({ err: reasonOf(error) }, 'connections of an address that moves cannot be passed on'),
      );
    });
    return this.#turn;
  }

  #tableOf(family: Family): string {
    const [ip, type] = family === 4 ? ['ip', 'ipv4_addr'] : ['ip6', 'ipv6_addr'];
    const table = `${ip} sluice_strays`;
    const moved = [...this.#passings].filter(([address]) => familyOf(address) === family);
    if (moved.length === 0) return `table ${table} { }\ndelete table ${table}\n`;
    const elementsOf = (slot: number) =>
      moved.flatMap(([address, { hops }]) => (hops[slot] === undefined ? [] : [`${address} : ${hops[slot]}`]));
    const rules = [
      `${ip} daddr != @moved accept`,
      'meta l4proto != tcp accept',
      'tcp flags & syn == syn accept',
      'ct state established,related accept',
      // Two that have an address for a moment would pass everything on to each other.
      ...(this.#macs.length > 0 ? [`ether saddr { ${this.#macs.join(', ')} } drop`] : []),
      ...slots.map((name) => `dup to ${ip} daddr map @${name}`),
      'drop',
    ];
    const life = `flags timeout; timeout ${lastingMs / 1_000}s;`;
    const add = (name: string, elements: readonly string[]) =>
      elements.length > 0 ? [`add element ${table} ${name} { ${elements.join(', ')} }`] : [];
    return [
      `table ${table} {`,
      `  set moved { type ${type}; ${life} }`,
      ...slots.map((name) => `  map ${name} { type ${type} : ${type}; ${life} }`),
      // After connections are tracked, before new ones are translated.
      '  chain arriving { type filter hook prerouting priority -150; }',
      '}',
      `flush set ${table} moved`,
      ...slots.map((name) => `flush map ${table} ${name}`),
      `flush chain ${table} arriving`,
      ...rules.map((rule) => `add rule ${table} arriving ${rule}`),
      ...add(
        'moved',
        moved.map(([address]) => address),
      ),
      ...slots.flatMap((name, slot) => add(name, elementsOf(slot))),
      '',
    ].join('\n');
  }
}

/** The address of a node that is heard, of the same family and on a network of ours. */
function hopTo(node: string, address: string, peers: readonly EdgePeer[], networks: readonly string[]) {
  const peer = peers.find((each) => each.node === node);
  const own = peer?.links.flatMap((link) => link.networks.map((network) => network.split('/')[0] ?? ''));
  const hop = own?.find((each) => familyOf(each) === familyOf(address) && isWithin(each, networks));
  return hop === undefined ? null : { node, hop };
}

const ethernet = /^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/;
/** One for each node that a packet is passed on to: while a fleet is replaced, an address may move more than once. */
const slots = ['latest', 'earlier', 'earliest'] as const;
/** Longer than what was replaced is given to end. */
const lastingMs = 3_600_000;
