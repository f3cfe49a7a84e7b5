import type { Host } from '#table/listener.ts';
import { ClientPolicy } from '../listen/clientpolicy.ts';
import { ClientTrust } from '../listen/clienttrust.ts';
import { SharedByContent } from './shared.ts';

/** Rows that changed; null: the row went. */
export interface ClientPolicyChange {
  readonly hosts: ReadonlyMap<string, Host | null>;
  readonly secrets: ReadonlyMap<string, unknown>;
}

/** What the hosts ask of their TLS clients, compiled. */
export class ClientPolicies {
  readonly byHost = new Map<string, ClientPolicy>();
  readonly #hosts = new Map<string, Host>();
  readonly #listeners = new Set<string>();
  readonly #trusts: SharedByContent<ClientTrust>;

  constructor(onGone: (trust: ClientTrust) => void) {
    this.#trusts = new SharedByContent(onGone);
  }

  /** @param secret text of a secret row */
  apply({ hosts, secrets }: ClientPolicyChange, secret: (id: string) => string | undefined): void {
    const touched = new Set<string>();
    for (const [id, row] of hosts) {
      if (row?.clientAuth != null) this.#hosts.set(id, row);
      else if (!this.#hosts.delete(id)) continue;
      touched.add(id);
    }
    if (secrets.size > 0) {
      for (const [id, { clientAuth }] of this.#hosts) {
        if (secrets.has(clientAuth?.caSecretId ?? '') || secrets.has(clientAuth?.crlSecretId ?? '')) touched.add(id);
      }
    }
    for (const id of touched) this.#compile(id, secret);
    if (touched.size === 0) return;
    this.#listeners.clear();
    for (const { listenerIds } of this.#hosts.values()) for (const id of listenerIds) this.#listeners.add(id);
  }

  asks(listenerId: string): boolean {
    return this.#listeners.has(listenerId);
  }

  #compile(id: string, secret: (id: string) => string | undefined): void {
    const row = this.#hosts.get(id)?.clientAuth ?? null;
    if (row === null) {
      this.byHost.delete(id);
      this.#trusts.use(id, null, null);
      return;
    }
    const { caSecretId, crlSecretId } = row;
    const caPem = secret(caSecretId) ?? '';
    const crlPem = crlSecretId === null ? null : (secret(crlSecretId) ?? '');
    const content = JSON.stringify([caSecretId, caPem, crlPem]);
    const trust = this.#trusts.use(id, content, () => new ClientTrust(caSecretId, content, caPem, crlPem));
    this.byHost.set(id, new ClientPolicy(row, trust));
  }
}
