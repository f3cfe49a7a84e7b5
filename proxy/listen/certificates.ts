import { constants } from 'node:crypto';
import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls';
import { LRUCache } from 'lru-cache';
import type { Host, Listener } from '#table/listener.ts';
import type { Certificate } from '#table/secret.ts';
import type { ServerTls } from '#table/servertls.ts';
import { tellOfKeys } from '../carry/handle.ts';
import { digestOf, type Terms } from './terms.ts';

/** Rows that changed; null: the row went. */
export interface CertificateChange {
  readonly listeners: ReadonlyMap<string, Listener | null>;
  readonly hosts: ReadonlyMap<string, Host | null>;
  readonly certificates: ReadonlyMap<string, Certificate | null>;
}

interface Made {
  /** Of which it was built. */
  readonly row: Certificate | null;
  readonly terms: Terms | null;
  /** null: it cannot be. */
  readonly context: SecureContext | null;
}

/**
 * Which certificate answers which server name. A context costs 30 KB and 0.15 ms (measured on Node 26), so it is built at
 * the first handshake that asks for it, and the least used go. Connections keep the context they began with: a swapped
 * certificate touches none of them.
 */
export class Certificates {
  readonly #listenersById = new Map<string, Listener>();
  readonly #certificatesById = new Map<string, Certificate>();
  readonly #hostsById = new Map<string, Host>();
  /** Listener id → hostname (as in the row) → host. */
  readonly #hostsByListener = new Map<string, Map<string, Host>>();
  /** By certificate id, settings of the listener and terms. */
  readonly #contexts = new LRUCache<string, Made>({ max: maxContexts });
  #ticketKeys: Buffer | null = null;
  readonly #onUnusable: (certificateId: string, reason: string) => void;

  /** @param onUnusable told once for each certificate that OpenSSL refuses; the reason holds no key material */
  constructor(onUnusable: (certificateId: string, reason: string) => void) {
    this.#onUnusable = onUnusable;
  }

  apply({ listeners, hosts, certificates }: CertificateChange): void {
    for (const [id, row] of listeners) {
      if (row === null) this.#listenersById.delete(id);
      else this.#listenersById.set(id, row);
    }
    for (const [id, row] of certificates) {
      if (row === null) this.#certificatesById.delete(id);
      else this.#certificatesById.set(id, row);
    }
    for (const [id, row] of hosts) {
      const before = this.#hostsById.get(id);
      if (before !== undefined) this.#dropHost(before);
      if (row !== null) this.#putHost(row);
    }
  }

  /** Keys that sessions are resumed by, in every worker and replica: contexts made before have other ones. */
  useTicketKeys(keys: Buffer): void {
    this.#ticketKeys = keys;
    this.#contexts.clear();
  }

  /** Lists of revoked certificates change by the hour, and a context of one is some MB: none is kept that no host has a use for. */
  dropGone(): void {
    const gone = [...this.#contexts.entries()].filter(([, { terms }]) => terms?.isGone === true);
    for (const [key] of gone) this.#contexts.delete(key);
  }

  /**
   * The exact host's certificate, else that of the wildcard host, else the listener's default.
   * A certificate that does not cover the name is passed over: the default says more honestly that none is there.
   * @param serverName as sent; '' without SNI
   * @param terms of the host that the connection is for; null: those of the listener
   * @returns undefined when the handshake is to be refused
   */
  contextFor(listenerId: string, serverName: string, terms: Terms | null): SecureContext | undefined {
    const listener = this.#listenersById.get(listenerId);
    if (listener?.tls == null) return undefined;
    const { defaultCertificateId } = listener.tls;
    const name = serverName.toLowerCase();
    for (const id of this.#candidates(listenerId, name)) {
      const row = this.#certificatesById.get(id);
      if (row === undefined || !covers(row.names, name)) continue;
      const context = this.#context(row, listener.tls, terms);
      if (context !== null) return context;
    }
    const fallback = defaultCertificateId === null ? undefined : this.#certificatesById.get(defaultCertificateId);
    return fallback === undefined ? undefined : (this.#context(fallback, listener.tls, terms) ?? undefined);
  }

  /**
   * What a handshake begins with, before its server name is known: the default certificate, or none where there is no default.
   * Versions, suites, groups and ticket keys hold from here.
   * @returns undefined when the handshake is to be refused
   */
  firstContext(listenerId: string, terms: Terms | null): SecureContext | undefined {
    const context = this.contextFor(listenerId, '', terms);
    if (context !== undefined) return context;
    const tls = this.#listenersById.get(listenerId)?.tls;
    return tls == null ? undefined : (this.#context(null, tls, terms) ?? undefined);
  }

  #candidates(listenerId: string, name: string): readonly string[] {
    const hosts = this.#hostsByListener.get(listenerId);
    if (hosts === undefined || name === '') return [];
    const exact = hosts.get(name);
    if (exact !== undefined) return exact.certificateIds;
    let dot = name.indexOf('.');
    for (let labels = 1; dot !== -1; labels++) {
      const host = hosts.get(`*${name.slice(dot)}`);
      if (host !== undefined && (labels === 1 || host.wildcard === 'many')) return host.certificateIds;
      dot = name.indexOf('.', dot + 1);
    }
    return hosts.get('*')?.certificateIds ?? [];
  }

  /**
   * Where clients show certificates nothing is resumed: of a chain a session keeps the first certificate alone, so that one that
   * was refused for its length would be let through.
   *
   * @param row null: without a certificate
   */
  #context(row: Certificate | null, tls: ServerTls, terms: Terms | null): SecureContext | null {
    const key = `${textOf(tls)} ${terms?.sessionIdContext ?? ''} ${row?.id ?? ''}`;
    const known = this.#contexts.get(key);
    if (known?.row === row) return known.context;
    let context: SecureContext | null = null;
    try {
      context = createSecureContext({
        ...(row === null ? {} : { cert: row.chainPem, key: row.keyPem }),
        ...serverOptions(terms?.trust == null ? tls : { ...tls, sessionSeconds: 0 }),
        sessionIdContext: sessionIdContextOf(tls, terms),
        ...terms?.options,
        ...(this.#ticketKeys === null ? {} : { ticketKeys: this.#ticketKeys }),
      });
      tellOfKeys(context);
    } catch (error) {
      if (row !== null) this.#onUnusable(row.id, (error as Error).message);
    }
    // A handshake that has begun may ask for those of terms that are gone.
    if (terms?.isGone !== true) this.#contexts.set(key, { row, terms, context });
    return context;
  }

  #putHost(host: Host): void {
    this.#hostsById.set(host.id, host);
    for (const listenerId of host.listenerIds) {
      const hosts = this.#hostsByListener.get(listenerId) ?? new Map<string, Host>();
      hosts.set(host.hostname, host);
      this.#hostsByListener.set(listenerId, hosts);
    }
  }

  #dropHost(host: Host): void {
    this.#hostsById.delete(host.id);
    for (const listenerId of host.listenerIds) {
      const hosts = this.#hostsByListener.get(listenerId);
      if (hosts?.get(host.hostname)?.id === host.id) hosts.delete(host.hostname);
      if (hosts?.size === 0) this.#hostsByListener.delete(listenerId);
    }
  }
}

/** Settings of a listener in the form of node:tls. They hold for a handshake only in the context that it begins with. */
function serverOptions(tls: ServerTls): SecureContextOptions {
  const { minVersion, maxVersion, ciphers, groups, sessionSeconds } = tls;
  return {
    minVersion,
    maxVersion,
    ...(ciphers === null ? {} : { ciphers }),
    ...(groups === null ? {} : { ecdhCurve: groups }),
    // A client that negotiates anew (TLS 1.2) costs handshakes without connections.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (sessionSeconds === 0 ? constants.SSL_OP_NO_TICKET : 0),
    ...(sessionSeconds === 0 ? {} : { sessionTimeout: sessionSeconds }),
  };
}

/** Rows are immutable: what their settings are called as part of a key is made once. */
const texts = new WeakMap<ServerTls, string>();

function textOf(tls: ServerTls): string {
  let text = texts.get(tls);
  if (text === undefined) {
    text = JSON.stringify(serverOptions(tls));
    texts.set(tls, text);
  }
  return text;
}

const maxContexts = 2_000;
/**
 * Sessions are resumed only under the context that issued them. All workers and replicas share this one; node's own choice
 * depends on the command line. A session of TLS 1.2 goes on with its suite, which OpenSSL does not look for in the list: other
 * suites are another context, or one that was taken out of the list would be spoken on.
 */
function sessionIdContextOf({ ciphers }: ServerTls, terms: Terms | null): string {
  const own = terms?.sessionIdContext ?? 'sluice';
  return ciphers === null ? own : digestOf(`${own} ${ciphers}`);
}

/** RFC 9525 §6.3: a wildcard stands for exactly one left-most label. */
function covers(names: readonly string[], serverName: string): boolean {
  const dot = serverName.indexOf('.');
  const wildcard = dot === -1 ? null : `*${serverName.slice(dot)}`;
  return names.some((name) => {
    const lower = name.toLowerCase();
    return lower === serverName || lower === wildcard;
  });
}
