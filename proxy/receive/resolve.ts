import { lookup, Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { Endpoint, Endpoints } from '#table/backend.ts';
import { metadataAddresses } from '#table/metadata.ts';
import type { Problem } from '#table/problem.ts';
import { endpointKey } from '../select/endpoint.ts';

const shortestMs = 1_000;
const longestMs = 300_000;
const longestRetryMs = 30_000;
/** getaddrinfo tells no TTL. */
const lookupTtlSeconds = 30;

export interface NameResolverOptions {
  /** `address` or `address:port` of name servers; empty: those of the system. */
  readonly servers: readonly string[];
  /** Whether a name may stand for this machine itself: for one box, never for a shared cluster. */
  readonly canUseLoopback: boolean;
  /** 0 ≤ n < 1; spreads queries. */
  readonly random: () => number;
  /** A row with its addresses, after they or its problems changed. */
  readonly onChange: (row: Endpoints) => void;
}

/** One name, which many rows may share. */
interface Tracked {
  readonly rowIds: Set<string>;
  addresses: Record<4 | 6, readonly string[]>;
  /** What keeps rows of the name from being served as written; null: nothing. */
  trouble: Pick<Problem, 'code' | 'severity' | 'message' | 'hint'> | null;
  failures: number;
  timer: NodeJS.Timeout | undefined;
}

/** One family's answer; null: no answer, so what was known of it stays. */
interface Answer {
  readonly addresses: readonly string[] | null;
  readonly ttlSeconds: number;
}

/**
 * Resolves the rows that name a host instead of addresses (ExternalName), all addresses of both families, and again
 * after each TTL. A name that cannot be resolved any more keeps its last addresses: a name server that is away must not
 * take the backends away with it.
 *
 * Whoever may write a Service chooses the name, so addresses that only this machine should reach are refused: loopback,
 * link-local, and with them the metadata services of clouds.
 */
export class NameResolver {
  readonly #options: NameResolverOptions;
  readonly #resolver = new Resolver({ timeout: 2_000, tries: 3 });
  readonly #rowsById = new Map<string, Endpoints>();
  readonly #trackedByName = new Map<string, Tracked>();
  #isClosed = false;

  constructor(options: NameResolverOptions) {
    this.#options = options;
    if (options.servers.length > 0) this.#resolver.setServers([...options.servers]);
  }

  /**
   * Takes changed rows; null: gone. Rows without a name are ignored. New names are asked for at once; onChange tells
   * what they came to. A row that changed otherwise has its addresses from `filled` right after.
   */
  track(rowsById: ReadonlyMap<string, Endpoints | null>): void {
    for (const [id, row] of rowsById) {
      const old = this.#rowsById.get(id);
      const isSame = old !== undefined && old.dns?.name === row?.dns?.name;
      if (old !== undefined && !isSame) this.#forget(old);
      if (row === null || row.dns === null) {
        this.#rowsById.delete(id);
        continue;
      }
      this.#rowsById.set(id, row);
      if (!isSame) this.#remember(row.dns.name, id);
    }
  }

  /** The row with the addresses known now; other rows as they are. */
  filled(row: Endpoints): Endpoints {
    if (row.dns === null) return row;
    const { name, port } = row.dns;
    const tracked = this.#trackedByName.get(name);
    if (tracked === undefined) return row;
    const endpoints = [...tracked.addresses[4], ...tracked.addresses[6]].map((address) => endpointOf(address, port));
    return { ...row, endpoints };
  }

  /** What is wrong now, for each row that it concerns. */
  problems(): Problem[] {
    const problems: Problem[] = [];
    for (const { source, dns } of this.#rowsById.values()) {
      const trouble = dns === null ? null : (this.#trackedByName.get(dns.name)?.trouble ?? null);
      if (trouble !== null) problems.push({ ...trouble, source });
    }
    return problems;
  }

  close(): void {
    this.#isClosed = true;
    this.#resolver.cancel();
    for (const tracked of this.#trackedByName.values()) clearTimeout(tracked.timer);
    this.#trackedByName.clear();
    this.#rowsById.clear();
  }

  #remember(name: string, rowId: string): void {
    const known = this.#trackedByName.get(name);
    if (known !== undefined) {
      known.rowIds.add(rowId);
      return;
    }
    const rowIds = new Set([rowId]);
    const tracked: Tracked = { rowIds, addresses: { 4: [], 6: [] }, trouble: null, failures: 0, timer: undefined };
    this.#trackedByName.set(name, tracked);
    void this.#resolve(name, tracked);
  }

  #forget(row: Endpoints): void {
    if (row.dns === null) return;
    const tracked = this.#trackedByName.get(row.dns.name);
    if (tracked === undefined || !tracked.rowIds.delete(row.id) || tracked.rowIds.size > 0) return;
    clearTimeout(tracked.timer);
    this.#trackedByName.delete(row.dns.name);
  }

  async #resolve(name: string, tracked: Tracked): Promise<void> {
    const [four, six] = await this.#ask(name);
    if (this.#isClosed || this.#trackedByName.get(name) !== tracked) return;
    const before = JSON.stringify([tracked.addresses, tracked.trouble]);
    this.#take(name, tracked, four, six);
    if (JSON.stringify([tracked.addresses, tracked.trouble]) !== before) this.#tell(tracked);
    if (isIP(name) === 0) {
      const delayMs = tracked.failures > 0 ? this.#retryMs(tracked) : this.#refreshMs(four, six);
      tracked.timer = setTimeout(() => void this.#resolve(name, tracked), delayMs);
      tracked.timer.unref();
    }
  }

  #take(name: string, tracked: Tracked, four: Answer, six: Answer): void {
    const isAnswered = (four.addresses?.length ?? 0) + (six.addresses?.length ?? 0) > 0;
    if (!isAnswered) {
      tracked.failures++;
      const isKept = tracked.addresses[4].length + tracked.addresses[6].length > 0;
      tracked.trouble = {
        code: 'ExternalNameUnresolved',
        severity: isKept ? 'warning' : 'error',
        message: `The name "${name}" cannot be resolved${isKept ? '; its last addresses stay in use' : ''}.`,
        hint: 'Check spec.externalName and the name servers that the proxies use.',
      };
      return;
    }
    tracked.failures = 0;
    const refused: string[] = [];
    const usable = (addresses: readonly string[]): readonly string[] =>
      [...new Set(addresses)].sort().filter((address) => {
        const isUsable = isForwardable(address, this.#options.canUseLoopback);
        if (!isUsable) refused.push(address);
        return isUsable;
      });
    tracked.addresses = {
      4: four.addresses === null ? tracked.addresses[4] : usable(four.addresses),
      6: six.addresses === null ? tracked.addresses[6] : usable(six.addresses),
    };
    tracked.trouble = refused.length === 0 ? null : refusal(name, refused);
  }

  async #ask(name: string): Promise<[Answer, Answer]> {
    const family = isIP(name);
    if (family !== 0) return [literal(name, family === 4), literal(name, family === 6)];
    const answers = await Promise.all([
      this.#resolver.resolve4(name, { ttl: true }).then(ofRecords, ofFailure),
      this.#resolver.resolve6(name, { ttl: true }).then(ofRecords, ofFailure),
    ]);
    if (answers.some((answer) => (answer.addresses?.length ?? 0) > 0)) return answers;
    // Names that no name server knows: the hosts file, and search domains.
    const found = await lookup(name, { all: true }).catch(() => []);
    if (found.length === 0) return answers;
    const ofFamily = (wanted: 4 | 6): Answer => ({
      addresses: found.filter((entry) => entry.family === wanted).map((entry) => entry.address),
      ttlSeconds: lookupTtlSeconds,
    });
    return [ofFamily(4), ofFamily(6)];
  }

  #tell({ rowIds }: Tracked): void {
    for (const id of rowIds) {
      const row = this.#rowsById.get(id);
      if (row !== undefined) this.#options.onChange(this.filled(row));
    }
  }

  /** The shorter TTL of both families, within limits, and a tenth later at most so that replicas spread. */
  #refreshMs(four: Answer, six: Answer): number {
    const ttlMs = Math.min(four.ttlSeconds, six.ttlSeconds) * 1000;
    return Math.min(Math.max(ttlMs, shortestMs), longestMs) * (1 + this.#options.random() / 10);
  }

  #retryMs(tracked: Tracked): number {
    return Math.min(shortestMs * 2 ** (tracked.failures - 1), longestRetryMs) * (1 + this.#options.random() / 10);
  }
}

/** Whether a user's name may send traffic there. Addresses that embed an IPv4 address are judged by that. */
export function isForwardable(address: string, canUseLoopback: boolean): boolean {
  let parsed = ipaddr.process(address);
  if (parsed instanceof ipaddr.IPv6 && parsed.range() === 'rfc6052') {
    parsed = ipaddr.fromByteArray(parsed.toByteArray().slice(12));
  }
  const range = parsed.range();
  if (range === 'loopback') return canUseLoopback;
  if (range === 'unspecified' || range === 'linkLocal' || range === 'multicast' || range === 'broadcast') return false;
  return !metadataAddresses.has(parsed.toString());
}

function refusal(name: string, addresses: readonly string[]): Tracked['trouble'] {
  return {
    code: 'ExternalNameRefused',
    severity: 'error',
    message: `The name "${name}" resolves to ${addresses.join(', ')}, which no backend may have.`,
    hint: 'Use a name that resolves to addresses outside the loopback, link-local and cloud metadata ranges.',
  };
}

function endpointOf(address: string, port: number): Endpoint {
  const uid = endpointKey(address, port);
  const place = { zone: null, node: null, forZones: [] };
  return { address, port, uid, ...place, ready: true, serving: true, terminating: false, weight: 1 };
}

function literal(address: string, isOfFamily: boolean): Answer {
  return { addresses: isOfFamily ? [address] : [], ttlSeconds: Number.POSITIVE_INFINITY };
}

function ofRecords(records: readonly { address: string; ttl: number }[]): Answer {
  return {
    addresses: records.map((record) => record.address),
    ttlSeconds: Math.min(...records.map((record) => record.ttl)),
  };
}

/** "No such name" and "no such record" are answers; a name server that says nothing or fails gives none. */
function ofFailure(error: unknown): Answer {
  const code = (error as { code?: unknown }).code;
  const isNegative = code === 'ENOTFOUND' || code === 'ENODATA';
  return { addresses: isNegative ? [] : null, ttlSeconds: Number.POSITIVE_INFINITY };
}
