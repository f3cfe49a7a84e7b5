import type { Problem } from '#table/problem.ts';
import type { Row } from '#table/rows.ts';
import type { ClusterView, ObjectKey, ReadProblem, ViewChange } from '../watch/view.ts';
import { brokenBackend } from './backendrow.ts';
import { type CertificateState, certificateProblem, readCertificate } from './certificates.ts';
import { classNameOf, isOurs } from './classes.ts';
import { type Draft, draftIngress } from './draft.ts';
import { compileHost } from './host.ts';
import { settleTls } from './hosttls.ts';
import { listenerRows } from './listeners.ts';
import { MultiMap } from './multimap.ts';
import { everyHost, wildcardOf } from './names.ts';
import type { TranslateOptions, Translation } from './options.ts';
import { problem } from './problems.ts';
import { ProblemStore } from './problemstore.ts';
import { RouteRows } from './route.ts';
import { RowStore } from './rowstore.ts';
import { compilePort } from './serviceport.ts';
import { SliceIndex } from './sliceindex.ts';

/** What has to be made anew in one apply. */
interface Dirty {
  ingresses: Set<ObjectKey>;
  /** Ingresses whose TLS entries are to be checked again. */
  tls: Set<ObjectKey>;
  hosts: Set<string>;
  ports: Set<string>;
  listeners: boolean;
}

/**
 * View → rows, incremental by object. Each step is a pure function of a few objects (draft, port, host); reverse indexes
 * say which steps a changed object touches. The first apply is the same code with everything touched, so any order of
 * changes ends in what a full translation makes (test/fuzz/translate.test.ts).
 */
export class Translator {
  readonly #options: TranslateOptions;
  readonly #rows = new RowStore();
  readonly #routeRows: RouteRows;
  readonly #problems = new ProblemStore();
  readonly #drafts = new Map<ObjectKey, Draft>();
  readonly #certificates = new Map<ObjectKey, CertificateState>();
  readonly #slices = new SliceIndex();
  readonly #classByIngress = new Map<ObjectKey, string>();
  readonly #ingressesByClass = new MultiMap();
  readonly #ingressesByHost = new MultiMap();
  readonly #hostsByWildcard = new MultiMap();
  readonly #ingressesByPort = new MultiMap();
  readonly #portsByService = new MultiMap();
  readonly #ingressesBySecret = new MultiMap();
  readonly #hostsByCertificate = new MultiMap();
  readonly #certificatesByHost = new Map<string, readonly ObjectKey[]>();
  readonly #defaultPort: { portKey: string; serviceKey: ObjectKey; port: string | null } | null;
  #nextExpiryMs = Number.POSITIVE_INFINITY;
  #isFirst = true;
  #secretsInUse: ReadonlySet<ObjectKey> = new Set();
  #ingresses: readonly ObjectKey[] = [];

  constructor(options: TranslateOptions) {
    this.#options = options;
    this.#routeRows = new RouteRows(options);
    this.#defaultPort = parseDefaultBackend(options.defaultBackendService);
    if (this.#defaultPort !== null) this.#portsByService.add(this.#defaultPort.serviceKey, this.#defaultPort.portKey);
    this.#summarise();
  }

  /**
   * @param view the objects now
   * @param changes what differs from the view of the apply before; the first apply reads the whole view instead
   * @param unreadable all objects that cannot be read now
   * @param nowMs judges expiry of certificates, ms since 1970
   */
  apply(
    view: ClusterView,
    changes: readonly ViewChange[],
    unreadable: readonly ReadProblem[],
    nowMs: number,
  ): Translation {
    const dirty: Dirty = { ingresses: new Set(), tls: new Set(), hosts: new Set(), ports: new Set(), listeners: false };
    for (const change of this.#isFirst ? everything(view) : changes) this.#note(view, change, dirty);
    if (this.#isFirst) {
      dirty.listeners = true;
      dirty.hosts.add(everyHost);
      if (this.#defaultPort !== null) dirty.ports.add(this.#defaultPort.portKey);
    }
    this.#isFirst = false;
    if (nowMs > this.#nextExpiryMs) this.#noteExpired(nowMs, dirty);

    for (const key of dirty.ingresses) this.#draft(view, key, dirty);
    for (const key of dirty.tls) this.#checkTls(view, key, nowMs);
    for (const host of [...dirty.hosts]) {
      for (const covered of this.#hostsByWildcard.get(host)) dirty.hosts.add(covered);
    }
    for (const hostname of dirty.hosts) this.#host(view, hostname);
    for (const portKey of dirty.ports) this.#port(view, portKey);
    if (dirty.listeners) this.#listeners(view, nowMs);
    this.#problems.replace('', unreadable.map(readProblem));

    if (dirty.ingresses.size > 0) this.#summarise();
    const problems = this.#problems.all();
    return { ...this.#rows.takeChanges(), problems, secretsInUse: this.#secretsInUse, ingresses: this.#ingresses };
  }

  /** Marks what one changed object touches. */
  #note(view: ClusterView, { kind, key }: ViewChange, dirty: Dirty): void {
    switch (kind) {
      case 'Ingress':
        dirty.ingresses.add(key);
        break;
      case 'IngressClass':
        // Without a class an Ingress hangs on which class is the default.
        for (const className of [key.slice(1), '']) {
          for (const ingress of this.#ingressesByClass.get(className)) dirty.ingresses.add(ingress);
        }
        break;
      case 'Service':
        for (const port of this.#portsByService.get(key)) dirty.ports.add(port);
        break;
      case 'EndpointSlice':
      case 'Endpoints':
        for (const service of this.#slices.note(view, kind, key)) {
          for (const port of this.#portsByService.get(service)) dirty.ports.add(port);
        }
        break;
      case 'Secret':
        this.#certificates.delete(key);
        for (const ingress of this.#ingressesBySecret.get(key)) this.#touchTls(ingress, dirty);
        for (const host of this.#hostsByCertificate.get(key)) dirty.hosts.add(host);
        if (key === this.#options.defaultCertificateSecret) dirty.listeners = true;
        break;
      case 'ConfigMap':
      case 'Namespace':
      case 'Node':
        break;
    }
  }

  #touchTls(ingress: ObjectKey, dirty: Dirty): void {
    dirty.tls.add(ingress);
    for (const host of this.#drafts.get(ingress)?.hosts.keys() ?? []) dirty.hosts.add(host);
  }

  /** Certificates that expired since the last look: their Ingresses are told. */
  #noteExpired(nowMs: number, dirty: Dirty): void {
    this.#nextExpiryMs = Number.POSITIVE_INFINITY;
    for (const [key, state] of this.#certificates) {
      if (state.type !== 'good') continue;
      if (nowMs <= state.row.notAfterMs) {
        this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
        continue;
      }
      for (const ingress of this.#ingressesBySecret.get(key)) dirty.tls.add(ingress);
      if (key === this.#options.defaultCertificateSecret) dirty.listeners = true;
    }
  }

  /** Reads an Ingress again and moves it from its old places in the indexes to its new ones. */
  #draft(view: ClusterView, key: ObjectKey, dirty: Dirty): void {
    const old = this.#drafts.get(key);
    if (old !== undefined) this.#unlink(old, dirty);
    const oldClass = this.#classByIngress.get(key);
    if (oldClass !== undefined) this.#ingressesByClass.delete(oldClass, key);

    const ingress = view.get('Ingress', key);
    if (ingress === undefined) this.#classByIngress.delete(key);
    else {
      this.#classByIngress.set(key, classNameOf(ingress));
      this.#ingressesByClass.add(classNameOf(ingress), key);
    }
    dirty.tls.add(key);
    if (ingress === undefined || !isOurs(ingress, view, this.#options)) {
      this.#drafts.delete(key);
      this.#problems.replace(`ingress:${key}`, []);
      this.#rows.replace(`ingress:${key}`, []);
      return;
    }
    const draft = draftIngress(ingress, (...row) => brokenBackend(this.#options, ...row));
    this.#drafts.set(key, draft);
    this.#link(draft, dirty);
    this.#problems.replace(`ingress:${key}`, draft.problems);
    this.#rows.replace(
      `ingress:${key}`,
      draft.brokenBackends.map((row) => ({ kind: 'backend', row })),
    );
  }

  #link(draft: Draft, dirty: Dirty): void {
    for (const host of draft.hosts.keys()) {
      this.#ingressesByHost.add(host, draft.key);
      const wildcard = wildcardOf(host);
      if (wildcard !== undefined) this.#hostsByWildcard.add(wildcard, host);
      dirty.hosts.add(host);
    }
    for (const { portKey, serviceKey } of draft.portRefs) {
      this.#ingressesByPort.add(portKey, draft.key);
      this.#portsByService.add(serviceKey, portKey);
      dirty.ports.add(portKey);
    }
    for (const { secretKey } of draft.tls) {
      if (secretKey !== null) this.#ingressesBySecret.add(secretKey, draft.key);
    }
  }

  #unlink(draft: Draft, dirty: Dirty): void {
    for (const host of draft.hosts.keys()) {
      this.#ingressesByHost.delete(host, draft.key);
      const wildcard = wildcardOf(host);
      if (wildcard !== undefined && this.#ingressesByHost.get(host).size === 0)
        this.#hostsByWildcard.delete(wildcard, host);
      dirty.hosts.add(host);
    }
    for (const { portKey, serviceKey } of draft.portRefs) {
      this.#ingressesByPort.delete(portKey, draft.key);
      const isUsed = this.#ingressesByPort.get(portKey).size > 0 || portKey === this.#defaultPort?.portKey;
      if (!isUsed) this.#portsByService.delete(serviceKey, portKey);
      dirty.ports.add(portKey);
    }
    for (const { secretKey } of draft.tls) {
      if (secretKey === null) continue;
      this.#ingressesBySecret.delete(secretKey, draft.key);
      const isUsed =
        this.#ingressesBySecret.get(secretKey).size > 0 || secretKey === this.#options.defaultCertificateSecret;
      if (!isUsed) this.#certificates.delete(secretKey);
    }
  }

  #checkTls(view: ClusterView, key: ObjectKey, nowMs: number): void {
    const problems: Problem[] = [];
    for (const { secretKey, source } of this.#drafts.get(key)?.tls ?? []) {
      if (secretKey === null) continue;
      const at = { ...source, field: `${source.field}.secretName` };
      const found = certificateProblem(this.#certificate(view, secretKey), secretKey, at, nowMs);
      if (found !== undefined) problems.push(found);
    }
    this.#problems.replace(`tls:${key}`, problems);
  }

  #host(view: ClusterView, hostname: string): void {
    const tls = settleTls(
      hostname,
      (name) => this.#draftsOf(this.#ingressesByHost.get(name)),
      (secret) => this.#certificate(view, secret),
    );
    const drafts = this.#draftsOf(this.#ingressesByHost.get(hostname));
    const { rows, problems } = compileHost(
      { hostname, drafts, tls, fallback: this.#fallback() },
      this.#routeRows,
      this.#options,
    );
    this.#rows.replace(`host:${hostname}`, rows);
    this.#problems.replace(`host:${hostname}`, problems);
    this.#serve(view, hostname, rows.length === 0 ? [] : tls.certificates);
  }

  /** A certificate row is there exactly while a host or the default listener serves it: proxies get no other keys. */
  #serve(view: ClusterView, hostname: string, certificates: readonly ObjectKey[]): void {
    const before = this.#certificatesByHost.get(hostname) ?? [];
    for (const key of before) this.#hostsByCertificate.delete(key, hostname);
    for (const key of certificates) this.#hostsByCertificate.add(key, hostname);
    if (certificates.length === 0) this.#certificatesByHost.delete(hostname);
    else this.#certificatesByHost.set(hostname, certificates);
    for (const key of new Set([...before, ...certificates])) this.#certificateRow(view, key);
  }

  #certificateRow(view: ClusterView, key: ObjectKey): void {
    const isServed = this.#hostsByCertificate.get(key).size > 0 || key === this.#options.defaultCertificateSecret;
    const state = isServed ? this.#certificate(view, key) : undefined;
    this.#rows.replace(`certificate:${key}`, state?.type === 'good' ? [{ kind: 'certificate', row: state.row }] : []);
  }

  #certificate(view: ClusterView, key: ObjectKey): CertificateState {
    const known = this.#certificates.get(key);
    if (known !== undefined) return known;
    const state = readCertificate(view.get('Secret', key), key);
    this.#certificates.set(key, state);
    if (state.type === 'good') this.#nextExpiryMs = Math.min(this.#nextExpiryMs, state.row.notAfterMs);
    return state;
  }

  #port(view: ClusterView, portKey: string): void {
    const drafts = this.#draftsOf(this.#ingressesByPort.get(portKey));
    const users = drafts.map((draft) => ({ draft, refs: draft.portRefs.filter((ref) => ref.portKey === portKey) }));
    const isDefaultBackend = portKey === this.#defaultPort?.portKey;
    const ref = users[0]?.refs[0] ?? (isDefaultBackend ? this.#defaultPort : null);
    if (ref === null || ref === undefined) {
      this.#rows.replace(`port:${portKey}`, []);
      this.#problems.replace(`port:${portKey}`, []);
      return;
    }
    const { serviceKey, port } = ref;
    const slash = serviceKey.indexOf('/');
    const { rows, problems } = compilePort(
      {
        portKey,
        namespace: serviceKey.slice(0, slash),
        serviceName: serviceKey.slice(slash + 1),
        port,
        users,
        isDefaultBackend,
        service: view.get('Service', serviceKey),
        slices: this.#slices.of(view, serviceKey),
      },
      this.#options,
    );
    this.#rows.replace(`port:${portKey}`, rows);
    this.#problems.replace(`port:${portKey}`, problems);
  }

  #listeners(view: ClusterView, nowMs: number): void {
    const secret = this.#options.defaultCertificateSecret;
    const state = secret === null ? undefined : this.#certificate(view, secret);
    const rows: Row[] = listenerRows(this.#options, state?.type === 'good' ? state.row.id : null);
    this.#rows.replace('listeners', rows);
    if (secret === null || state === undefined) return;
    this.#certificateRow(view, secret);
    const slash = secret.indexOf('/');
    const source = { kind: 'Secret', namespace: secret.slice(0, slash), name: secret.slice(slash + 1) };
    const found = certificateProblem(state, secret, source, nowMs);
    this.#problems.replace('listeners', found === undefined ? [] : [found]);
  }

  #fallback(): { backendId: string; source: Problem['source'] } | null {
    if (this.#defaultPort === null) return null;
    const { portKey, serviceKey } = this.#defaultPort;
    const slash = serviceKey.indexOf('/');
    const source = { kind: 'Service', namespace: serviceKey.slice(0, slash), name: serviceKey.slice(slash + 1) };
    return { backendId: portKey, source };
  }

  /** Oldest first. */
  #draftsOf(keys: ReadonlySet<ObjectKey>): Draft[] {
    const drafts: Draft[] = [];
    for (const key of keys) {
      const draft = this.#drafts.get(key);
      if (draft !== undefined) drafts.push(draft);
    }
    return drafts.sort((a, b) => (a.age < b.age ? -1 : a.age > b.age ? 1 : 0));
  }

  #summarise(): void {
    const secrets = new Set(this.#ingressesBySecret.keys());
    if (this.#options.defaultCertificateSecret !== null) secrets.add(this.#options.defaultCertificateSecret);
    this.#secretsInUse = secrets;
    this.#ingresses = [...this.#drafts.keys()].sort();
  }
}

function* everything(view: ClusterView): Iterable<ViewChange> {
  // Slices before all that reads them.
  for (const kind of ['EndpointSlice', 'Endpoints', 'Ingress'] as const) {
    for (const { metadata } of view.all(kind)) yield { kind, key: `${metadata.namespace}/${metadata.name}` };
  }
}

function parseDefaultBackend(
  text: string | null,
): { portKey: string; serviceKey: ObjectKey; port: string | null } | null {
  if (text === null) return null;
  const [serviceKey = '', port] = text.split(':');
  // "*" cannot be the name of a port, so this key is never that of an Ingress's backend.
  return { portKey: `${serviceKey}/${port ?? '*'}`, serviceKey, port: port ?? null };
}

function readProblem({ code, kind, namespace, name, field, message }: ReadProblem): Problem {
  return problem(code, { kind, namespace, name, ...(field === '' ? {} : { field }) }, { message });
}
