import type { Host } from '#table/listener.ts';
import { ClientPolicy } from '../listen/clientpolicy.ts';
import { ClientTrust } from '../listen/clienttrust.ts';
import { Terms } from '../listen/terms.ts';
import { SharedByContent } from './shared.ts';

/** Rows that changed; null: the row went. */
export interface HostTermsChange {
  readonly hosts: ReadonlyMap<string, Host | null>;
  readonly secrets: ReadonlyMap<string, unknown>;
}

/** What hosts want of TLS beyond what their listener says, compiled. */
export class HostTerms {
  /** By id of the host, of those that ask clients for certificates. */
  readonly policies = new Map<string, ClientPolicy>();
  readonly #terms = new Map<string, Terms>();
  readonly #hosts = new Map<string, Host>();
  readonly #listeners = new Set<string>();
  #hasLost = false;
  readonly #trusts = new SharedByContent<ClientTrust>(() => {
    this.#hasLost = true;
  });
  readonly #sharedTerms = new SharedByContent<Terms>(() => {
    this.#hasLost = true;
  });

  /** @param secret text of a secret row */
  apply({ hosts, secrets }: HostTermsChange, secret: (id: string) => string | undefined): void {
    const touched = new Set<string>();
    for (const [id, row] of hosts) {
      if (row !== null && (row.clientAuth !== null || row.ciphers !== null)) this.#hosts.set(id, row);
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

  /** Whether any are gone since it was last asked, or trusts of theirs. */
  takeLoss(): boolean {
    const hasLost = this.#hasLost;
    this.#hasLost = false;
    return hasLost;
  }

  isNeeded(listenerId: string): boolean {
    return this.#listeners.has(listenerId);
  }

  of(hostId: string): Terms | null {
    return this.#terms.get(hostId) ?? null;
  }

  #compile(id: string, secret: (id: string) => string | undefined): void {
    const row = this.#hosts.get(id);
    const { clientAuth = null, ciphers = null } = row ?? {};
    let trust: ClientTrust | null = null;
    let trustContent = '';
    if (clientAuth === null) {
      this.policies.delete(id);
      this.#trusts.use(id, null, null);
    } else {
      const { caSecretId, crlSecretId } = clientAuth;
      const caPem = secret(caSecretId) ?? '';
      const crlPem = crlSecretId === null ? null : (secret(crlSecretId) ?? '');
      trustContent = JSON.stringify([caSecretId, caPem, crlPem]);
      trust = this.#trusts.use(id, trustContent, () => new ClientTrust(caSecretId, caPem, crlPem));
      this.policies.set(id, new ClientPolicy(clientAuth, trust));
    }
    if (row === undefined) {
      this.#terms.delete(id);
      this.#sharedTerms.use(id, null, null);
      return;
    }
    const content = JSON.stringify([trustContent, ciphers]);
    this.#terms.set(
      id,
      this.#sharedTerms.use(id, content, () => new Terms(content, trust, ciphers)),
    );
  }
}
