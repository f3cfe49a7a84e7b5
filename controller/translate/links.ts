import type { ObjectKey } from '../watch/view.ts';
import type { Draft } from './draft.ts';
import { MultiMap } from './multimap.ts';
import { wildcardOf } from './names.ts';
import { type HostShares, sharesOf } from './owner.ts';
import { compareText } from './problems.ts';

/** Our Ingresses by everything that they name: who is touched when that changes. */
export class Links {
  readonly #drafts = new Map<ObjectKey, Draft>();
  readonly #byHost = new MultiMap();
  /** Those that are left out, by the hosts that they name. */
  readonly #leftOutByHost = new MultiMap();
  readonly #byPort = new MultiMap();
  readonly #bySecret = new MultiMap();
  readonly #hostsByWildcard = new MultiMap();
  readonly #portsByService = new MultiMap();

  /** Puts an Ingress in the place of what it was before; undefined takes it out. */
  replace(key: ObjectKey, draft: Draft | undefined): void {
    const old = this.#drafts.get(key);
    if (old !== undefined) this.#unlink(old);
    if (draft === undefined) {
      this.#drafts.delete(key);
      return;
    }
    this.#drafts.set(key, draft);
    for (const host of draft.named) {
      if (!draft.hosts.has(host)) this.#leftOutByHost.add(host, key);
    }
    for (const host of draft.hosts.keys()) {
      this.#byHost.add(host, key);
      const wildcard = wildcardOf(host);
      if (wildcard !== undefined) this.#hostsByWildcard.add(wildcard, host);
    }
    for (const [portKey, refs] of draft.refsByPort) {
      this.#byPort.add(portKey, key);
      for (const { serviceKey } of refs) this.#portsByService.add(serviceKey, portKey);
    }
    for (const secret of secretsOf(draft)) this.#bySecret.add(secret, key);
  }

  draft(key: ObjectKey): Draft | undefined {
    return this.#drafts.get(key);
  }

  /** Oldest first. */
  ofHost(hostname: string): Draft[] {
    return this.#oldestFirst(this.#byHost.get(hostname));
  }

  /** Whose the host is, and of what. */
  sharesOf(hostname: string): HostShares {
    return sharesOf(this.ofHost(hostname), this.#oldestFirst(this.#leftOutByHost.get(hostname)));
  }

  /** Oldest first. */
  ofPort(portKey: string): Draft[] {
    return this.#oldestFirst(this.#byPort.get(portKey));
  }

  ofSecret(secret: ObjectKey): ReadonlySet<ObjectKey> {
    return this.#bySecret.get(secret);
  }

  portsOf(service: ObjectKey): ReadonlySet<string> {
    return this.#portsByService.get(service);
  }

  /** Exact hosts that a wildcard covers. */
  hostsUnder(wildcard: string): ReadonlySet<string> {
    return this.#hostsByWildcard.get(wildcard);
  }

  secrets(): IterableIterator<ObjectKey> {
    return this.#bySecret.keys();
  }

  hosts(): IterableIterator<string> {
    return this.#byHost.keys();
  }

  ingresses(): IterableIterator<ObjectKey> {
    return this.#drafts.keys();
  }

  #unlink(draft: Draft): void {
    for (const host of draft.named) this.#leftOutByHost.delete(host, draft.key);
    for (const host of draft.hosts.keys()) {
      this.#byHost.delete(host, draft.key);
      const wildcard = wildcardOf(host);
      if (wildcard !== undefined && this.#byHost.get(host).size === 0) this.#hostsByWildcard.delete(wildcard, host);
    }
    for (const [portKey, refs] of draft.refsByPort) {
      this.#byPort.delete(portKey, draft.key);
      if (this.#byPort.get(portKey).size > 0) continue;
      for (const { serviceKey } of refs) this.#portsByService.delete(serviceKey, portKey);
    }
    for (const secret of secretsOf(draft)) this.#bySecret.delete(secret, draft.key);
  }

  #oldestFirst(keys: ReadonlySet<ObjectKey>): Draft[] {
    const drafts: Draft[] = [];
    for (const key of keys) {
      const draft = this.#drafts.get(key);
      if (draft !== undefined) drafts.push(draft);
    }
    return drafts.sort((a, b) => compareText(a.age, b.age));
  }
}

/** Secrets that an Ingress names and may name. */
export function* secretsOf({ tls, face, refsByPort, hosts, clientSecret }: Draft): Iterable<ObjectKey> {
  for (const { secretKey } of tls) if (secretKey !== null) yield secretKey;
  if (clientSecret !== null && !clientSecret.isForeign && hosts.size > 0) yield clientSecret.key;
  // One that is left out as a whole speaks to nobody.
  if (face.tls?.secret != null && !face.tls.secret.isForeign && refsByPort.size > 0) yield face.tls.secret.key;
}
