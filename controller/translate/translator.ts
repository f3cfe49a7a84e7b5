import type { Problem, Source } from '#table/problem.ts';
import { withConfigMap } from '../configmap/overlay.ts';
import { readConfigMap } from '../configmap/read.ts';
import { type ClusterView, keyOf, type ObjectKey, type ReadProblem, splitKey, type ViewChange } from '../watch/view.ts';
import { brokenBackend } from './backendrow.ts';
import { type CertificateState, certificateProblem } from './certificates.ts';
import { CertificateStore } from './certificatestore.ts';
import { ClassIndex, isOurs } from './classes.ts';
import { type Draft, draftIngress } from './draft.ts';
import { compileHost } from './host.ts';
import { settleTls } from './hosttls.ts';
import { Links } from './links.ts';
import { listenerRows } from './listeners.ts';
import { everyHost } from './names.ts';
import type { TranslateOptions, Translation } from './options.ts';
import { problem } from './problems.ts';
import { ProblemStore } from './problemstore.ts';
import { reachOf } from './reach.ts';
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
  /** As the command line says. */
  readonly #given: TranslateOptions;
  /** With what the ConfigMap says. */
  #options: TranslateOptions;
  readonly #rows = new RowStore();
  readonly #problems = new ProblemStore();
  readonly #links = new Links();
  readonly #classes = new ClassIndex();
  readonly #slices = new SliceIndex();
  readonly #certificates = new CertificateStore();
  #routeRows: RouteRows;
  readonly #defaultPort: DefaultPort | null;
  #isFirst = true;
  #secretsInUse: ReadonlySet<ObjectKey> = new Set();
  #ingresses: readonly ObjectKey[] = [];

  constructor(options: TranslateOptions) {
    this.#given = options;
    this.#options = options;
    this.#routeRows = new RouteRows(options);
    this.#defaultPort = parseDefaultBackend(options.defaultBackendService);
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
    if (this.#isFirst) this.#configure(view, dirty);
    for (const change of this.#isFirst ? everything(view) : changes) this.#note(view, change, dirty);
    for (const expired of this.#certificates.takeExpired(nowMs)) this.#noteExpired(expired, dirty);
    if (this.#isFirst) {
      dirty.listeners = true;
      dirty.hosts.add(everyHost);
      if (this.#defaultPort !== null) dirty.ports.add(this.#defaultPort.portKey);
    }
    this.#isFirst = false;

    for (const key of dirty.ingresses) this.#draft(view, key, dirty);
    for (const key of dirty.tls) this.#checkTls(view, key, nowMs);
    for (const host of [...dirty.hosts]) {
      for (const covered of this.#links.hostsUnder(host)) dirty.hosts.add(covered);
    }
    for (const hostname of dirty.hosts) this.#host(view, hostname);
    for (const portKey of dirty.ports) this.#port(view, portKey);
    if (dirty.listeners) this.#listeners(view, nowMs);
    this.#problems.replace('unreadable', unreadable.map(readProblem));

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
        for (const ingress of this.#classes.touchedBy(key)) dirty.ingresses.add(ingress);
        break;
      case 'Service':
        this.#noteService(key, dirty);
        break;
      case 'EndpointSlice':
      case 'Endpoints':
        for (const service of this.#slices.note(view, kind, key)) this.#noteService(service, dirty);
        break;
      case 'Secret':
        this.#noteSecret(key, dirty);
        break;
      case 'ConfigMap':
        if (key === this.#given.configMap) this.#configure(view, dirty);
        break;
      case 'Namespace':
      case 'Node':
      case 'AddressPool':
      case 'BGPPeer':
      case 'Announcement':
        break;
    }
  }

  /** Reads the ConfigMap of the gateway, and marks what the options that differ now touch. */
  #configure(view: ClusterView, dirty: Dirty): void {
    const { configMap } = this.#given;
    if (configMap === null) return;
    const { settings, closedBy, problems } = readConfigMap(view.get('ConfigMap', configMap), configMap);
    this.#problems.replace('configmap', problems);
    const before = this.#options;
    this.#options = { ...withConfigMap(this.#given, settings), closedBy };
    const reach = reachOf(before, this.#options);
    // Rows that are made by the way, of hosts that a changed Ingress is on, must be made with the options of now, too.
    if (reach.size > 0) this.#routeRows = new RouteRows(this.#options);
    if (reach.has('listeners')) dirty.listeners = true;
    if (reach.has('ingresses')) {
      for (const ingress of this.#links.ingresses()) dirty.ingresses.add(ingress);
      if (this.#defaultPort !== null) dirty.ports.add(this.#defaultPort.portKey);
    }
    if (reach.has('hosts')) {
      for (const host of this.#links.hosts()) dirty.hosts.add(host);
      dirty.hosts.add(everyHost);
    }
  }

  #noteService(service: ObjectKey, dirty: Dirty): void {
    for (const port of this.#links.portsOf(service)) dirty.ports.add(port);
    if (service === this.#defaultPort?.serviceKey) dirty.ports.add(this.#defaultPort.portKey);
  }

  #noteSecret(secret: ObjectKey, dirty: Dirty): void {
    this.#certificates.forget(secret);
    for (const ingress of this.#links.ofSecret(secret)) {
      dirty.tls.add(ingress);
      for (const host of this.#links.draft(ingress)?.hosts.keys() ?? []) dirty.hosts.add(host);
    }
    for (const host of this.#certificates.hostsOf(secret)) dirty.hosts.add(host);
    if (secret === this.#options.defaultCertificateSecret) dirty.listeners = true;
  }

  #noteExpired(secret: ObjectKey, dirty: Dirty): void {
    for (const ingress of this.#links.ofSecret(secret)) dirty.tls.add(ingress);
    if (secret === this.#options.defaultCertificateSecret) dirty.listeners = true;
  }

  /** Reads an Ingress again; what it named before and what it names now is touched. */
  #draft(view: ClusterView, key: ObjectKey, dirty: Dirty): void {
    const ingress = view.get('Ingress', key);
    this.#classes.note(key, ingress);
    const before = this.#links.draft(key);
    const isServed = ingress !== undefined && isOurs(ingress, view, this.#options);
    const draft = isServed ? draftIngress(ingress, (...row) => brokenBackend(this.#options, ...row)) : undefined;
    this.#links.replace(key, draft);
    for (const { hosts, refsByPort } of [before, draft].filter((one) => one !== undefined)) {
      for (const host of hosts.keys()) dirty.hosts.add(host);
      for (const portKey of refsByPort.keys()) dirty.ports.add(portKey);
    }
    for (const { secretKey } of before?.tls ?? []) {
      const isNamed = secretKey === null || this.#links.ofSecret(secretKey).size > 0;
      if (!isNamed && secretKey !== this.#options.defaultCertificateSecret) this.#certificates.forget(secretKey);
    }
    dirty.tls.add(key);
    this.#problems.replace(`ingress:${key}`, draft?.problems ?? []);
    const broken = draft?.brokenBackends ?? [];
    this.#rows.replace(
      `ingress:${key}`,
      broken.map((row) => ({ kind: 'backend', row })),
    );
  }

  #checkTls(view: ClusterView, key: ObjectKey, nowMs: number): void {
    const problems: Problem[] = [];
    for (const { secretKey, source } of this.#links.draft(key)?.tls ?? []) {
      if (secretKey === null) continue;
      const at = { ...source, field: `${source.field}.secretName` };
      const found = certificateProblem(this.#certificates.state(view, secretKey), secretKey, at, nowMs);
      if (found !== undefined) problems.push(found);
    }
    this.#problems.replace(`tls:${key}`, problems);
  }

  #host(view: ClusterView, hostname: string): void {
    const draftsOf = (name: string): Draft[] => this.#links.ofHost(name);
    const stateOf = (secret: ObjectKey): CertificateState => this.#certificates.state(view, secret);
    const tls = settleTls(hostname, draftsOf, stateOf);
    const fallback = this.#defaultPort && { backendId: this.#defaultPort.portKey, source: this.#defaultPort.source };
    const input = { hostname, drafts: draftsOf(hostname), tls, fallback };
    const { rows, problems } = compileHost(input, this.#routeRows, this.#options);
    this.#rows.replace(`host:${hostname}`, rows);
    this.#problems.replace(`host:${hostname}`, problems);
    const touched = this.#certificates.serve(hostname, rows.length === 0 ? [] : tls.certificates);
    for (const key of touched) this.#certificateRow(view, key);
  }

  /** A certificate row is there exactly while a host or the default listener serves it: proxies get no other keys. */
  #certificateRow(view: ClusterView, key: ObjectKey): void {
    const isServed = this.#certificates.hostsOf(key).size > 0 || key === this.#options.defaultCertificateSecret;
    const state = isServed ? this.#certificates.state(view, key) : undefined;
    this.#rows.replace(`certificate:${key}`, state?.type === 'good' ? [{ kind: 'certificate', row: state.row }] : []);
  }

  #port(view: ClusterView, portKey: string): void {
    const users = this.#links.ofPort(portKey).map((draft) => ({ draft, refs: draft.refsByPort.get(portKey) ?? [] }));
    const isDefaultBackend = portKey === this.#defaultPort?.portKey;
    const named = users[0]?.refs[0] ?? (isDefaultBackend ? this.#defaultPort : null);
    if (named === null) {
      this.#rows.replace(`port:${portKey}`, []);
      this.#problems.replace(`port:${portKey}`, []);
      return;
    }
    const { serviceKey, port } = named;
    const service = view.get('Service', serviceKey);
    const slices = this.#slices.of(view, serviceKey);
    const [namespace, serviceName] = splitKey(serviceKey);
    const { rows, problems } = compilePort(
      { portKey, namespace, serviceName, port, users, isDefaultBackend, service, slices },
      this.#options,
    );
    this.#rows.replace(`port:${portKey}`, rows);
    this.#problems.replace(`port:${portKey}`, problems);
  }

  #listeners(view: ClusterView, nowMs: number): void {
    const secret = this.#options.defaultCertificateSecret;
    const state = secret === null ? undefined : this.#certificates.state(view, secret);
    this.#rows.replace('listeners', listenerRows(this.#options, state?.type === 'good' ? state.row.id : null));
    if (secret === null || state === undefined) return;
    this.#certificateRow(view, secret);
    const [namespace, name] = splitKey(secret);
    const found = certificateProblem(state, secret, { kind: 'Secret', namespace, name }, nowMs);
    this.#problems.replace('listeners', found === undefined ? [] : [found]);
  }

  #summarise(): void {
    const secrets = new Set(this.#links.secrets());
    if (this.#options.defaultCertificateSecret !== null) secrets.add(this.#options.defaultCertificateSecret);
    this.#secretsInUse = secrets;
    this.#ingresses = [...this.#links.ingresses()].sort();
  }
}

function* everything(view: ClusterView): Iterable<ViewChange> {
  // All else is read when an Ingress names it.
  for (const kind of ['EndpointSlice', 'Endpoints', 'Ingress'] as const) {
    for (const object of view.all(kind)) yield { kind, key: keyOf(object) };
  }
}

/** The Service port of the operator's default backend. */
interface DefaultPort {
  portKey: string;
  serviceKey: ObjectKey;
  /** null: the first. */
  port: string | null;
  source: Source;
}

function parseDefaultBackend(text: string | null): DefaultPort | null {
  if (text === null) return null;
  const [serviceKey = '', port] = text.split(':');
  const [namespace, name] = splitKey(serviceKey);
  // "*" cannot be the name of a port, so this key is never that of an Ingress's backend.
  const portKey = `${serviceKey}/${port ?? '*'}`;
  return { portKey, serviceKey, port: port ?? null, source: { kind: 'Service', namespace, name } };
}

function readProblem({ code, kind, namespace, name, field, message }: ReadProblem): Problem {
  return problem(code, { kind, namespace, name, ...(field === '' ? {} : { field }) }, { message });
}
