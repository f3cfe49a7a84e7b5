import type { L4Route } from '#table/l4route.ts';
import type { Host } from '#table/listener.ts';
import { HostNames, isNarrower } from './hostnames.ts';
import { type AddressTest, admission } from './ranges.ts';
import { type Weighted, weigh } from './weighted.ts';

/** An L4 route, ready for use. */
export interface CompiledL4Route {
  readonly row: L4Route;
  readonly backends: readonly (Weighted & { readonly backendId: string })[];
  /** Whose connections are taken; null: everybody's. */
  readonly isAdmitted: AddressTest | null;
}

type HostName = Pick<Host, 'hostname' | 'wildcard'>;

/** A route under one of its names. Of several under one name the lowest id is in force. */
interface Claim {
  readonly host: { readonly id: string; readonly hostname: string; readonly wildcard: 'one' | 'many' };
  readonly route: CompiledL4Route;
}

interface ListenerRoutes {
  readonly names: HostNames<Claim>;
  /** Claims of a name other than `*`. */
  namedCount: number;
}

/** Finds the L4 route of a connection or flow, by its listener and the server name of its TLS. */
export class L4Matcher {
  readonly #claimsById = new Map<string, readonly Claim[]>();
  readonly #byListenerId = new Map<string, ListenerRoutes>();

  /** @param routes changed rows by id; null: the row is gone */
  apply(routes: ReadonlyMap<string, L4Route | null>): void {
    for (const [id, row] of routes) {
      for (const claim of this.#claimsById.get(id) ?? []) this.#withdraw(claim);
      this.#claimsById.delete(id);
      if (row === null) continue;
      const claims = claimsOf(row);
      this.#claimsById.set(id, claims);
      for (const claim of claims) this.#put(claim);
    }
  }

  /**
   * @param serverName lower case; '' without TLS or without SNI
   * @param host the narrowest host of the listener that covers the name: it has the connection if it is narrower
   * @returns null when no route takes it
   */
  match(listenerId: string, serverName: string, host: HostName | null): CompiledL4Route | null {
    const claim = this.#byListenerId.get(listenerId)?.names.first(serverName);
    return claim === undefined || (host !== null && isNarrower(host, claim.host)) ? null : claim.route;
  }

  /** Whether connections of the listener are to be looked into for their server name before they can be matched. */
  hasNames(listenerId: string): boolean {
    return (this.#byListenerId.get(listenerId)?.namedCount ?? 0) > 0;
  }

  hasRoute(id: string): boolean {
    return this.#claimsById.has(id);
  }

  #put(claim: Claim): void {
    for (const listenerId of claim.route.row.listenerIds) {
      const routes = this.#byListenerId.get(listenerId) ?? { names: new HostNames<Claim>(), namedCount: 0 };
      this.#byListenerId.set(listenerId, routes);
      routes.names.add(claim);
      if (claim.host.hostname !== '*') routes.namedCount++;
    }
  }

  #withdraw(claim: Claim): void {
    for (const listenerId of claim.route.row.listenerIds) {
      const routes = this.#byListenerId.get(listenerId);
      if (routes === undefined) continue;
      routes.names.remove(claim);
      if (claim.host.hostname !== '*') routes.namedCount--;
      if (routes.names.isEmpty()) this.#byListenerId.delete(listenerId);
    }
  }
}

function claimsOf(row: L4Route): Claim[] {
  const route: CompiledL4Route = {
    row,
    backends: weigh(row.backends, ({ backendId }) => ({ backendId })),
    isAdmitted: row.sources === null ? null : admission(row.sources),
  };
  const id = `${row.order} ${row.id}`;
  const names = row.hostnames.length === 0 ? ['*'] : new Set(row.hostnames);
  return [...names].map((hostname) => ({ host: { id, hostname, wildcard: row.wildcard }, route }));
}
