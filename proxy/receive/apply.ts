import { hkdfSync } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import type { Backend, Endpoints } from '#table/backend.ts';
import { fleetSecretId } from '#table/fleetsecret.ts';
import type { Listener } from '#table/listener.ts';
import type { Certificate } from '#table/secret.ts';
import { type TlsMaterial, TlsProfile, tlsContent } from '../forward/tlsprofile.ts';
import { Certificates } from '../listen/certificates.ts';
import type { Terms } from '../listen/terms.ts';
import type { RequestFacts } from '../match/facts.ts';
import { type CompiledL4Route, L4Matcher } from '../match/l4matcher.ts';
import type { Match } from '../match/match.ts';
import { Matcher } from '../match/matcher.ts';
import type { Circuit } from '../select/circuit.ts';
import type { Selector } from '../select/selector.ts';
import { changesOf, type Delta } from './changes.ts';
import { HostTerms } from './hostterms.ts';
import type { LiveBackend, LiveTables } from './live.ts';
import { SharedByContent } from './shared.ts';

/** The tables of one worker, compiled; a change costs what it touches. */
export class Live implements LiveTables {
  hash = '';
  readonly listeners = new Map<string, Listener>();
  readonly #matcher = new Matcher();
  readonly #l4Matcher = new L4Matcher();
  readonly #selector: Selector;
  readonly #certificates: Certificates;
  readonly #backendRows = new Map<string, Backend>();
  readonly #endpointRows = new Map<string, Endpoints>();
  readonly #secretsById = new Map<string, string>();
  readonly #certificateRows = new Map<string, Certificate>();
  readonly #material: TlsMaterial = {
    secret: (id) => this.#secretsById.get(id),
    certificate: (id) => this.#certificateRows.get(id),
  };
  readonly #tlsProfiles = new SharedByContent<TlsProfile>((profile) => {
    for (const callback of this.#tlsGone) callback(profile);
  });
  readonly #hostTerms = new HostTerms();
  readonly clientPolicies = this.#hostTerms.policies;
  readonly #trustGone: (() => void)[] = [];
  readonly #backends = new Map<string, LiveBackend>();
  /** Routes and backends that are not for everybody. */
  readonly #guards = new Set<string>();
  #lastSerial = 0;
  readonly #endpointGone: ((key: string) => void)[] = [];
  readonly #tlsGone: ((profile: TlsProfile) => void)[] = [];
  readonly #goneCircuits: Circuit[] = [];
  readonly #circuitGone: ((circuit: Circuit) => void)[] = [];
  readonly #listenersChanged: (() => void)[] = [];

  /** @param onUnusable told of certificates that OpenSSL refuses */
  constructor(selector: Selector, onUnusable: (certificateId: string, reason: string) => void) {
    this.#selector = selector;
    this.#certificates = new Certificates(onUnusable);
  }

  /** Takes a checked change into force, within this turn of the event loop. */
  apply(delta: Delta, hash: string, nowMs: number): void {
    const listeners = changesOf(delta, 'listener');
    const hosts = changesOf(delta, 'host');
    const routes = changesOf(delta, 'route');
    const backends = changesOf(delta, 'backend');
    const endpoints = changesOf(delta, 'endpoints');
    const certificates = changesOf(delta, 'certificate');
    const secrets = changesOf(delta, 'secret');

    merge(this.listeners, listeners);
    this.#guard('route', routes, ({ filters }) => filters.some(({ type }) => type === 'source-ranges'));
    this.#guard('backend', backends, ({ broken }) => broken !== null);
    const touched = this.#touchedBackends(backends, endpoints, secrets, certificates);
    merge(this.#backendRows, backends);
    merge(this.#endpointRows, endpoints);
    merge(this.#certificateRows, certificates);
    for (const [id, row] of secrets) {
      if (row === null) this.#secretsById.delete(id);
      else this.#secretsById.set(id, row.value);
    }
    const fleetKey = this.#fleetKey(secrets.get(fleetSecretId)?.value);
    this.#l4Matcher.apply(changesOf(delta, 'l4route'));
    if (hosts.size > 0 || routes.size > 0) this.#matcher.apply({ hosts, routes });
    const { goneKeys } = this.#selector.apply({ backends, endpoints, affinityKey: fleetKey }, nowMs);
    this.#refreshBackends(touched);
    if (listeners.size > 0 || hosts.size > 0 || certificates.size > 0) {
      this.#certificates.apply({ listeners, hosts, certificates });
    }
    this.#hostTerms.apply({ hosts, secrets }, this.#material.secret);
    this.hash = hash;
    if (this.#hostTerms.takeLoss()) {
      this.#certificates.dropGone();
      for (const callback of this.#trustGone) callback();
    }
    for (const callback of this.#endpointGone) for (const key of goneKeys) callback(key);
    for (const circuit of this.#goneCircuits.splice(0)) for (const callback of this.#circuitGone) callback(circuit);
    if (listeners.size > 0) for (const callback of this.#listenersChanged) callback();
  }

  get keepsOut(): boolean {
    return this.#guards.size > 0;
  }

  match(listenerId: string, facts: RequestFacts): Match {
    return this.#matcher.match(listenerId, facts);
  }

  matchL4(listenerId: string, serverName: string): CompiledL4Route | null {
    return this.#l4Matcher.match(listenerId, serverName, this.#matcher.hostOf(listenerId, serverName));
  }

  hasServerNames(listenerId: string): boolean {
    return this.#l4Matcher.hasNames(listenerId);
  }

  backend(id: string): LiveBackend | undefined {
    return this.#backends.get(id);
  }

  secureContext(listenerId: string, serverName: string, terms: Terms | null): SecureContext | undefined {
    return this.#certificates.contextFor(listenerId, serverName, terms);
  }

  firstContext(listenerId: string, terms: Terms | null): SecureContext | undefined {
    return this.#certificates.firstContext(listenerId, terms);
  }

  hasTerms(listenerId: string): boolean {
    return this.#hostTerms.isNeeded(listenerId);
  }

  terms(listenerId: string, serverName: string): Terms | null {
    const host = this.#matcher.hostOf(listenerId, serverName);
    return host === null ? null : this.#hostTerms.of(host.id);
  }

  /** Metrics let go of the series of routes that are not there any more. */
  hasRoute(id: string): boolean {
    return this.#matcher.hasRoute(id) || this.#l4Matcher.hasRoute(id);
  }

  onEndpointGone(callback: (key: string) => void): void {
    this.#endpointGone.push(callback);
  }

  onTlsGone(callback: (profile: TlsProfile) => void): void {
    this.#tlsGone.push(callback);
  }

  onCircuitGone(callback: (circuit: Circuit) => void): void {
    this.#circuitGone.push(callback);
  }

  onTrustGone(callback: () => void): void {
    this.#trustGone.push(callback);
  }

  onListenersChanged(callback: () => void): void {
    this.#listenersChanged.push(callback);
  }

  #fleetKey(value: string | undefined): Uint8Array | null {
    if (value === undefined) return null;
    const key = Buffer.from(value, 'base64');
    this.#certificates.useTicketKeys(Buffer.from(hkdfSync('sha256', key, '', 'sluice tls session tickets', 48)));
    return key;
  }

  #guard<R>(kind: string, changes: ReadonlyMap<string, R | null>, isGuard: (row: R) => boolean): void {
    for (const [id, row] of changes) {
      if (row !== null && isGuard(row)) this.#guards.add(`${kind} ${id}`);
      else this.#guards.delete(`${kind} ${id}`);
    }
  }

  #touchedBackends(
    backends: ReadonlyMap<string, Backend | null>,
    endpoints: ReadonlyMap<string, Endpoints | null>,
    secrets: ReadonlyMap<string, unknown>,
    certificates: ReadonlyMap<string, unknown>,
  ): Set<string> {
    const touched = new Set(backends.keys());
    for (const [id, row] of endpoints) {
      for (const backendId of this.#endpointRows.get(id)?.backendIds ?? []) touched.add(backendId);
      for (const backendId of row?.backendIds ?? []) touched.add(backendId);
    }
    if (secrets.size > 0 || certificates.size > 0) {
      for (const { id, tls } of this.#backendRows.values()) {
        if (tls !== null && (secrets.has(tls.verify?.caSecretId ?? '') || certificates.has(tls.certificateId ?? ''))) {
          touched.add(id);
        }
      }
    }
    return touched;
  }

  #tlsOf({ id, tls }: Backend): TlsProfile | null {
    if (tls === null) return this.#tlsProfiles.use(id, null, null);
    const make = () => new TlsProfile(tls, this.#material);
    return this.#tlsProfiles.use(id, tlsContent(tls, this.#material), make);
  }

  #refreshBackends(ids: ReadonlySet<string>): void {
    for (const id of ids) {
      const row = this.#backendRows.get(id);
      const state = this.#selector.backend(id);
      if (row === undefined || state === undefined) {
        const gone = this.#backends.get(id);
        if (gone !== undefined) this.#goneCircuits.push(gone.state.circuit);
        this.#backends.delete(id);
        this.#tlsProfiles.use(id, null, null);
        continue;
      }
      this.#backends.set(id, { row, state, tls: this.#tlsOf(row), serial: ++this.#lastSerial });
    }
  }
}

function merge<R>(rowsById: Map<string, R>, changes: ReadonlyMap<string, R | null>): void {
  for (const [id, row] of changes) {
    if (row === null) rowsById.delete(id);
    else rowsById.set(id, row);
  }
}
