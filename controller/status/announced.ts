import type { Announced, AnnouncedBy } from '#table/announced.ts';
import type { Source } from '#table/problem.ts';
import type { News } from './events.ts';

export interface AnnouncedWriterOptions {
  /** Services that have an address by the plan. */
  servicesOf(address: string): readonly AnnouncedService[];
  /** Whether the plan has such an address. */
  isAddress(address: string): boolean;
  /** Whether the plan has such a node. */
  isNode(name: string): boolean;
  /** Nodes whose edges are heard. */
  nodes(): ReadonlySet<string>;
  tell(news: News): void;
}

export interface AnnouncedService {
  source: Source;
  uid: string;
}

/** An address and a way of announcing it. */
interface Entry extends AnnouncedBy {
  /** Bit n: the edge of `#edges[n]` announces it. 44,000 addresses on each of 100 nodes are nothing that way. */
  nodes: bigint;
  /** The edge that said so last. */
  latest: number;
  /** What was told last, and whom of. */
  told: string;
  toldUids: readonly string[];
  toldMs: number;
}

const roundMs = 1_000;
/** Half of what Events may be in all. */
const newsPerRound = 5;
/** Nodes that take up or leave an address together are told together, and a move once. */
const settleMs = 1_000;
/** Between two Events of one address, however often it moves. */
const restMs = 10_000;
/** What waits beyond this is dropped, the oldest first. */
const longestQueue = 1_000;
/** An edge that finds another controller is away for a moment. */
const forgetAfterRounds = 30;
/** Edges may be ahead of the plan of this replica; but whatever they say, beyond this only the plan's own are kept. */
const mostEntries = 100_000;
const namedNodes = 10;

/**
 * Tells on Services which nodes announce their addresses. Every replica hears all edges; the leader writes, each change
 * once: not how often an address moves, but where it is after it has.
 */
export class AnnouncedWriter {
  readonly #options: AnnouncedWriterOptions;
  readonly #entries = new Map<string, Entry>();
  /** Places are used again, so that numbers stay small while nodes come and go. */
  readonly #edges: ({ node: string; missed: number } | null)[] = [];
  /** Entries that are to be told, and since when. */
  readonly #fresh = new Map<string, number>();
  readonly #rounds: NodeJS.Timeout;
  #isLeader = false;

  constructor(options: AnnouncedWriterOptions) {
    this.#options = options;
    this.#rounds = setInterval(() => this.#round(performance.now()), roundMs);
  }

  /** An edge says what it announces. @returns false: we know nothing of it that this could be a difference from */
  hear(node: string, { isWhole, gained, lost }: Announced): boolean {
    let edge = this.#edges.findIndex((each) => each?.node === node);
    if (edge < 0) {
      if (!isWhole || !this.#options.isNode(node)) return false;
      const free = this.#edges.indexOf(null);
      edge = free < 0 ? this.#edges.length : free;
      this.#edges[edge] = { node, missed: 0 };
    }
    if (isWhole) this.#forget(edge, new Set(gained.map(keyOf)));
    for (const each of gained) this.#gain(edge, each);
    for (const each of lost) this.#lose(edge, keyOf(each));
    return true;
  }

  /** Whether the edge of a node has said what it announces. */
  knows(node: string): boolean {
    return this.#edges.some((each) => each?.node === node);
  }

  /** These addresses have other Services than before. */
  assigned(addresses: Iterable<string>): void {
    for (const address of addresses) {
      for (const way of ['layer2', 'bgp'] as const) {
        const key = keyOf({ way, address });
        this.#refresh(key);
      }
    }
  }

  lead(isLeader: boolean): void {
    this.#isLeader = isLeader;
  }

  stop(): void {
    clearInterval(this.#rounds);
  }

  #round(nowMs: number): void {
    this.#forgetSilent();
    let left = newsPerRound;
    for (const [key, sinceMs] of this.#fresh) {
      const entry = this.#entries.get(key);
      if (entry === undefined) this.#fresh.delete(key);
      else if (nowMs >= Math.max(sinceMs + settleMs, entry.toldMs + restMs)) left -= this.#tell(key, entry, nowMs);
      if (left <= 0) return;
    }
  }

  /** @returns how many were told */
  #tell(key: string, entry: Entry, nowMs: number): number {
    if (entry.nodes === 0n) this.#drop(key);
    if (entry.nodes === 0n || !this.#isLeader) return 0;
    const services = this.#options.servicesOf(entry.address);
    this.#fresh.delete(key);
    const message = this.#messageOf(entry);
    const unaware = services.filter(({ uid }) => message !== entry.told || !entry.toldUids.includes(uid));
    for (const { source, uid } of unaware) {
      this.#options.tell({ reason: 'AnnouncedFrom', action: 'Announce', source, uid, message });
    }
    if (unaware.length > 0) entry.toldMs = nowMs;
    entry.told = message;
    entry.toldUids = services.map(({ uid }) => uid);
    return unaware.length;
  }

  #messageOf({ way, address, nodes, latest }: Entry): string {
    const has = (edge: number) => ((nodes >> BigInt(edge)) & 1n) === 1n;
    const named = this.#edges.flatMap((each, edge) => (each !== null && has(edge) ? each.node : [])).sort();
    if (way === 'layer2') {
      // One node has it, but for the moment of a move and for a segment that is parted.
      const holder = has(latest) ? this.#edges[latest]?.node : named[0];
      return `${address} is announced from ${holder} by layer 2.`;
    }
    if (named.length === 1) return `${address} is announced from ${named[0]} by BGP.`;
    const others = named.length > namedNodes ? ` and ${named.length - namedNodes} more` : '';
    return `${address} is announced from ${named.length} nodes by BGP: ${named.slice(0, namedNodes).join(', ')}${others}.`;
  }

  #gain(edge: number, { way, address }: AnnouncedBy): void {
    const key = keyOf({ way, address });
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      if (this.#entries.size >= mostEntries && !this.#options.isAddress(address)) return;
      entry = { way, address, nodes: 0n, latest: edge, told: '', toldUids: [], toldMs: Number.NEGATIVE_INFINITY };
      this.#entries.set(key, entry);
    }
    const nodes = entry.nodes | (1n << BigInt(edge));
    if (nodes === entry.nodes) return;
    entry.nodes = nodes;
    entry.latest = edge;
    this.#refresh(key);
  }

  #lose(edge: number, key: string): void {
    const entry = this.#entries.get(key);
    const bit = 1n << BigInt(edge);
    if (entry === undefined || (entry.nodes & bit) === 0n) return;
    entry.nodes ^= bit;
    // One that nobody announces is kept for a while: it has been told, and may come back.
    if (entry.nodes !== 0n || this.#options.isAddress(entry.address)) this.#refresh(key);
    else this.#drop(key);
  }

  #drop(key: string): void {
    this.#fresh.delete(key);
    this.#entries.delete(key);
  }

  /** Takes back what an edge has said, but for these. */
  #forget(edge: number, kept: ReadonlySet<string>): void {
    for (const key of this.#entries.keys()) if (!kept.has(key)) this.#lose(edge, key);
  }

  #forgetSilent(): void {
    const nodes = this.#edges.length === 0 ? new Set<string>() : this.#options.nodes();
    for (const [place, edge] of this.#edges.entries()) {
      if (edge === null) continue;
      edge.missed = nodes.has(edge.node) ? 0 : edge.missed + 1;
      if (edge.missed < forgetAfterRounds) continue;
      this.#forget(place, new Set());
      this.#edges[place] = null;
    }
  }

  /** What the plan does not have yet is told when it has it. */
  #refresh(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined || this.#fresh.has(key) || !this.#options.isAddress(entry.address)) return;
    this.#fresh.set(key, performance.now());
    if (this.#fresh.size <= longestQueue) return;
    const [oldest = ''] = this.#fresh.keys();
    this.#fresh.delete(oldest);
    if (this.#entries.get(oldest)?.nodes === 0n) this.#entries.delete(oldest);
  }
}

function keyOf({ way, address }: AnnouncedBy): string {
  return `${way}/${address}`;
}
