import type { ClusterView, ObjectKey } from '../watch/view.ts';
import { type CertificateState, readCertificate } from './certificates.ts';
import { MultiMap } from './multimap.ts';

/** TLS Secrets as read, which hosts serve them, and when the next of them expires. Parsing a key costs; it is done once. */
export class CertificateStore {
  readonly #states = new Map<ObjectKey, CertificateState>();
  readonly #hostsByCertificate = new MultiMap();
  readonly #certificatesByHost = new Map<string, readonly ObjectKey[]>();
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  state(view: ClusterView, key: ObjectKey): CertificateState {
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    const state = readCertificate(view.get('Secret', key), key);
    this.#states.set(key, state);
    if (state.type === 'good') this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
    return state;
  }

  /** The Secret changed, or nobody names it any more. */
  forget(key: ObjectKey): void {
    this.#states.delete(key);
  }

  /** Certificates that are past their end, if any came to it since the last call. */
  takeExpired(nowMs: number): ObjectKey[] {
    if (nowMs <= this.#nextExpiryMs) return [];
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    const expired: ObjectKey[] = [];
    for (const [key, state] of this.#states) {
      if (state.type !== 'good') continue;
      if (nowMs > state.row.notAfterMs) expired.push(key);
      else this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
    }
    return expired;
  }

  /** @returns the certificates that the host serves now or served before */
  serve(hostname: string, certificates: readonly ObjectKey[]): ReadonlySet<ObjectKey> {
    const before = this.#certificatesByHost.get(hostname) ?? [];
    for (const key of before) this.#hostsByCertificate.delete(key, hostname);
    for (const key of certificates) this.#hostsByCertificate.add(key, hostname);
    if (certificates.length === 0) this.#certificatesByHost.delete(hostname);
    else this.#certificatesByHost.set(hostname, certificates);
    return new Set([...before, ...certificates]);
  }

  hostsOf(key: ObjectKey): ReadonlySet<string> {
    return this.#hostsByCertificate.get(key);
  }
}
