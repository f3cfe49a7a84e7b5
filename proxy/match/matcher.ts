import type { Host } from '#table/listener.ts';
import type { Route } from '#table/route.ts';
import type { RequestFacts } from './facts.ts';
import { HostNames } from './hostnames.ts';
import { type Candidate, HostTable } from './hosttable.ts';
import type { Match } from './match.ts';
import { compileRule, type Rule } from './rule.ts';
import { TextIndex } from './textindex.ts';

/** Changed rows by id; null: the row is gone. */
export interface MatcherChange {
  readonly hosts: ReadonlyMap<string, Host | null>;
  readonly routes: ReadonlyMap<string, Route | null>;
}

const nothing: Match = { route: null, host: null };

/**
 * Finds the route of a request. The cost of a match depends on the labels of its name and the elements of its path, not on
 * how many hosts and routes there are; the cost of a change on the routes that it touches, and on all routes of a host
 * only when the host's own row changed.
 */
export class Matcher {
  readonly #tablesById = new Map<string, HostTable>();
  readonly #namesByListenerId = new Map<string, HostNames<HostTable>>();
  /** Every route row, also those that do not compile or whose hosts are not there yet (rule null or unused). */
  readonly #routesById = new Map<string, { row: Route; index: number; rule: Rule | null }>();
  readonly #routeIdsByHostId = new Map<string, Set<string>>();
  readonly #freeIndexes: number[] = [];
  #lastSerial = 0;
  readonly #paths = new TextIndex<Candidate>();
  #tablesMade = 0;

  /** Takes a batch into use. Between two calls of `match` everything is of one version. Never throws on a row's content. */
  apply(change: MatcherChange): void {
    for (const [id, row] of change.routes) {
      if (row === null) this.#deleteRoute(id);
      else this.#setRoute(row);
    }
    for (const [id, host] of change.hosts) {
      const old = this.#tablesById.get(id);
      if (old) this.#dropHost(old);
      if (host !== null) this.#addHost(host);
    }
  }

  /** The best route for a request that came to a listener. Allocates nothing on a hit without conditions. */
  match(listenerId: string, facts: RequestFacts): Match {
    const names = this.#namesByListenerId.get(listenerId);
    if (!names) return nothing;
    let miss: Match | null = null;
    for (let table = names.first(facts.hostname); table; table = names.wider(facts.hostname, table)) {
      const found = table.find(facts);
      if (found) return found;
      miss ??= table.miss;
      if (!table.host.canFallThrough) break;
    }
    return miss ?? nothing;
  }

  /** The narrowest host that covers a name (lower case; '' for none); null: no host does. */
  hostOf(listenerId: string, hostname: string): Host | null {
    return this.#namesByListenerId.get(listenerId)?.first(hostname)?.host ?? null;
  }

  /** Whether a route row of this id is in the table: metrics let go of series by it. */
  hasRoute(id: string): boolean {
    return this.#routesById.has(id);
  }

  #setRoute(row: Route): void {
    const known = this.#routesById.get(row.id);
    if (known) this.#unlink(known.row, known.rule);
    // Dense, and never another route's while this id lives: metrics are counted by it.
    const index = known?.index ?? this.#freeIndexes.pop() ?? this.#routesById.size;
    const rule = compileRule(row, { index, serial: ++this.#lastSerial });
    this.#routesById.set(row.id, { row, index, rule });
    for (const hostId of row.hostIds) {
      const ids = this.#routeIdsByHostId.get(hostId);
      if (ids) ids.add(row.id);
      else this.#routeIdsByHostId.set(hostId, new Set([row.id]));
      if (rule) this.#tablesById.get(hostId)?.add(rule);
    }
  }

  #deleteRoute(id: string): void {
    const known = this.#routesById.get(id);
    if (!known) return;
    this.#unlink(known.row, known.rule);
    this.#routesById.delete(id);
    this.#freeIndexes.push(known.index);
  }

  #unlink(row: Route, rule: Rule | null): void {
    for (const hostId of row.hostIds) {
      const ids = this.#routeIdsByHostId.get(hostId);
      ids?.delete(row.id);
      if (ids?.size === 0) this.#routeIdsByHostId.delete(hostId);
      if (rule) this.#tablesById.get(hostId)?.remove(rule);
    }
  }

  #addHost(host: Host): void {
    const table = new HostTable(host, this.#paths, this.#tablesMade++);
    for (const routeId of this.#routeIdsByHostId.get(host.id) ?? []) {
      const rule = this.#routesById.get(routeId)?.rule;
      if (rule) table.add(rule);
    }
    this.#tablesById.set(host.id, table);
    for (const listenerId of host.listenerIds) {
      const names = this.#namesByListenerId.get(listenerId) ?? new HostNames<HostTable>();
      this.#namesByListenerId.set(listenerId, names);
      names.add(table);
    }
  }

  #dropHost(table: HostTable): void {
    this.#tablesById.delete(table.host.id);
    // What all hosts share would keep them for ever.
    for (const routeId of this.#routeIdsByHostId.get(table.host.id) ?? []) {
      const rule = this.#routesById.get(routeId)?.rule;
      while (rule && table.remove(rule));
    }
    for (const listenerId of table.host.listenerIds) {
      const names = this.#namesByListenerId.get(listenerId);
      names?.remove(table);
      if (names?.isEmpty()) this.#namesByListenerId.delete(listenerId);
    }
  }
}
