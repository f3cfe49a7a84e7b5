import type { Row } from '#table/rows.ts';
import type { ClusterView, ObjectKey } from '../watch/view.ts';
import { type AuthoritiesState, readAuthorities } from './authorities.ts';
import { type CertificateState, readCertificate } from './certificates.ts';
import { MultiMap } from './multimap.ts';
import type { RowStore } from './rowstore.ts';
import { authoritiesId, noSecrets, revocationsId, type SecretStates, type SecretUse } from './upstreamtls.ts';

/** Who serves or shows key material: a host, a Service port, or the listeners. */
type SecretUser = `host:${string}` | `port:${string}` | 'listeners';

/**
 * Secrets as read (parsing a key costs; it is done once) and the rows that are made of them. A row is there exactly while
 * somebody uses it: proxies get no other keys.
 */
export class SecretRows {
  readonly #rows: RowStore;
  readonly #certificates = new Map<ObjectKey, CertificateState>();
  readonly #authorities = new Map<ObjectKey, AuthoritiesState>();
  readonly #usesByUser = new Map<SecretUser, SecretUse>();
  readonly #usersByCertificate = new MultiMap();
  readonly #usersByAuthorities = new MultiMap();
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  constructor(rows: RowStore) {
    this.#rows = rows;
  }

  states(view: ClusterView): SecretStates {
    return {
      certificate: (key) => this.certificate(view, key),
      authorities: (key) => this.#read(this.#authorities, key, () => readAuthorities(view.get('Secret', key))),
    };
  }

  certificate(view: ClusterView, key: ObjectKey): CertificateState {
    const state = this.#read(this.#certificates, key, () => readCertificate(view.get('Secret', key), key));
    if (state.type === 'good') this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
    return state;
  }

  /** The Secret changed, or nobody names it any more. */
  forget(key: ObjectKey): void {
    this.#certificates.delete(key);
    this.#authorities.delete(key);
  }

  /** Certificates that are past their end, if any came to it since the last call. */
  takeExpired(nowMs: number): ObjectKey[] {
    if (nowMs <= this.#nextExpiryMs) return [];
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    const expired: ObjectKey[] = [];
    for (const [key, state] of this.#certificates) {
      if (state.type !== 'good') continue;
      if (nowMs > state.row.notAfterMs) expired.push(key);
      else this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
    }
    return expired;
  }

  usersOf(key: ObjectKey): ReadonlySet<SecretUser> {
    return this.#usersByCertificate.get(key).union(this.#usersByAuthorities.get(key)) as ReadonlySet<SecretUser>;
  }

  /** What the user needs now; the rows of these Secrets, and of those that it needed before, are made anew. */
  use(view: ClusterView, user: SecretUser, use: SecretUse): void {
    const before = this.#usesByUser.get(user) ?? noSecrets;
    for (const key of before.certificates) this.#usersByCertificate.delete(key, user);
    for (const key of before.authorities) this.#usersByAuthorities.delete(key, user);
    for (const key of use.certificates) this.#usersByCertificate.add(key, user);
    for (const key of use.authorities) this.#usersByAuthorities.add(key, user);
    if (use.certificates.length + use.authorities.length === 0) this.#usesByUser.delete(user);
    else this.#usesByUser.set(user, use);
    const { authorities } = this.states(view);
    for (const key of new Set([...before.certificates, ...use.certificates])) {
      const isUsed = this.#usersByCertificate.get(key).size > 0;
      const state = isUsed ? this.certificate(view, key) : undefined;
      this.#replace(`certificate:${key}`, state?.type === 'good' ? [{ kind: 'certificate', row: state.row }] : []);
    }
    for (const key of new Set([...before.authorities, ...use.authorities])) {
      const state = this.#usersByAuthorities.get(key).size > 0 ? authorities(key) : undefined;
      this.#replace(`authorities:${key}`, state?.type === 'good' ? authorityRows(key, state) : []);
    }
  }

  #replace(owner: string, rows: readonly Row[]): void {
    this.#rows.replace(owner, rows);
  }

  #read<S>(known: Map<ObjectKey, S>, key: ObjectKey, read: () => S): S {
    let state = known.get(key);
    if (state === undefined) {
      state = read();
      known.set(key, state);
    }
    return state;
  }
}

function authorityRows(key: ObjectKey, { pem, crl }: { pem: string; crl: string | null }): Row[] {
  const bundle: Row = { kind: 'secret', row: { id: authoritiesId(key), value: pem } };
  return crl === null ? [bundle] : [bundle, { kind: 'secret', row: { id: revocationsId(key), value: crl } }];
}
