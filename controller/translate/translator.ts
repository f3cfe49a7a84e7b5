import type { Problem, Source } from '#table/problem.ts';
import { withConfigMap } from '../configmap/overlay.ts';
import { closedConfigMap, readConfigMap } from '../configmap/read.ts';
import { type ClusterView, keyOf, type ObjectKey, type ReadProblem, splitKey, type ViewChange } from '../watch/view.ts';
import { type CertificateState, certificateProblem } from './certificates.ts';
import { ClassIndex, isOurs } from './classes.ts';
import { settleClientAuth } from './clientauth.ts';
import { draftIngress } from './draft.ts';
import { compileHost } from './host.ts';
import { settleTls } from './hosttls.ts';
import { L4Index } from './l4index.ts';
import { compileL4Services } from './l4services.ts';
import { Links, secretsOf } from './links.ts';
import { listenerRows } from './listeners.ts';
import { everyHost } from './names.ts';
import type { TranslateOptions, Translation } from './options.ts';
import { problem } from './problems.ts';
import { ProblemStore } from './problemstore.ts';
import { reachOf } from './reach.ts';
import { RouteRows } from './route.ts';
import { RowStore } from './rowstore.ts';
import { SecretRows } from './secretrows.ts';
import { compilePort } from './serviceport.ts';
import { SliceIndex } from './sliceindex.ts';
import { noSecrets, shownCertificateProblems } from './upstreamtls.ts';

/** What has to be made anew in one apply. */
interface Dirty {
  ingresses: Set<ObjectKey>;
  /** Ingresses whose TLS entries are to be checked again. */
  tls: Set<ObjectKey>;
  hosts: Set<string>;
  ports: Set<string>;
  /** Secrets that an Ingress named before: nobody may name them any more. */
  unnamed: Set<ObjectKey>;
  listeners: boolean;
  /** Ports that are carried unread. */
  l4: boolean;
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
  readonly #l4 = new L4Index();
  readonly #classes = new ClassIndex();
  readonly #slices = new SliceIndex();
  readonly #secrets = new SecretRows(this.#rows);
  #routeRows: RouteRows;
  readonly #defaultPort: DefaultPort | null;
  #isFirst = true;
  #secretsInUse: ReadonlySet<ObjectKey> = new Set();
  #ingresses: readonly ObjectKey[] = [];
  #isConfigReadable = true;

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
    const dirty: Dirty = {
      ingresses: new Set(),
      tls: new Set(),
      hosts: new Set(),
      ports: new Set(),
      unnamed: new Set(),
      listeners: false,
      l4: false,
    };
    const wasReadable = this.#isConfigReadable;
    this.#isConfigReadable = !unreadable.some((each) => isMalformed(each, this.#given.configMap));
    if (this.#isFirst || this.#isConfigReadable !== wasReadable) this.#configure(view, dirty);
    for (const change of this.#isFirst ? everything(view) : changes) this.#note(view, change, dirty);
    for (const expired of this.#secrets.takeExpired(nowMs)) this.#noteExpired(expired, dirty);
    if (this.#isFirst) {
      dirty.listeners = dirty.l4 = true;
      dirty.hosts.add(everyHost);
      if (this.#defaultPort !== null) dirty.ports.add(this.#defaultPort.portKey);
    }
    this.#isFirst = false;

    for (const key of dirty.ingresses) this.#draft(view, key, dirty);
    for (const key of dirty.tls) this.#checkTls(view, key, nowMs);
    for (const host of [...dirty.hosts]) {
      for (const covered of this.#links.hostsUnder(host)) dirty.hosts.add(covered);
    }
    if (dirty.l4) this.#services(view, dirty);
    for (const hostname of dirty.hosts) this.#host(view, hostname);
    for (const portKey of dirty.ports) this.#port(view, portKey);
    if (dirty.listeners) this.#listeners(view, nowMs);
    // After all that reads Secrets: the source goes on to forget these without telling, so what was read of them would stay.
    for (const secret of dirty.unnamed) if (!this.#isNamed(secret)) this.#secrets.forget(secret);
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
        if (key === this.#given.tcpServices || key === this.#given.udpServices) dirty.l4 = true;
        break;
      case 'Namespace':
      case 'Node':
      case 'AddressPool':
      case 'BGPPeer':
      case 'Announcement':
      case 'CustomResourceDefinition':
        break;
    }
  }

  /** Reads the ConfigMap of the gateway, and marks what the options that differ now touch. */
  #configure(view: ClusterView, dirty: Dirty): void {
    const { configMap } = this.#given;
    if (configMap === null) return;
    const found = view.get('ConfigMap', configMap);
    const isClosed = found === undefined && !this.#isConfigReadable;
    const { settings, closedBy, problems } = isClosed
      ? closedConfigMap(configMap)
      : readConfigMap(found, configMap, this.#given);
    this.#problems.replace('configmap', problems);
    const before = this.#options;
    this.#options = { ...withConfigMap(this.#given, settings), closedBy };
    const reach = reachOf(before, this.#options);
    // Rows that are made by the way, of hosts that a changed Ingress is on, must be made with the options of now, too.
    if (reach.size > 0) this.#routeRows = new RouteRows(this.#options);
    dirty.l4 ||= reach.size > 0;
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
    for (const port of this.#l4.portsOf(service)) dirty.ports.add(port);
    if (service === this.#defaultPort?.serviceKey) dirty.ports.add(this.#defaultPort.portKey);
  }

  #noteSecret(secret: ObjectKey, dirty: Dirty): void {
    this.#secrets.forget(secret);
    for (const ingress of this.#links.ofSecret(secret)) {
      dirty.tls.add(ingress);
      const draft = this.#links.draft(ingress);
      for (const host of draft?.hosts.keys() ?? []) dirty.hosts.add(host);
      if (draft?.face.tls?.secret?.key !== secret) continue;
      for (const port of draft.refsByPort.keys()) dirty.ports.add(port);
    }
    for (const user of this.#secrets.usersOf(secret)) {
      if (user.startsWith('host:')) dirty.hosts.add(user.slice('host:'.length));
    }
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
    const draft = isServed ? draftIngress(ingress, this.#options) : undefined;
    this.#links.replace(key, draft);
    for (const { named, refsByPort } of [before, draft].filter((one) => one !== undefined)) {
      for (const host of named) dirty.hosts.add(host);
      for (const portKey of refsByPort.keys()) dirty.ports.add(portKey);
    }
    for (const secret of before === undefined ? [] : secretsOf(before)) dirty.unnamed.add(secret);
    dirty.tls.add(key);
    this.#problems.replace(`ingress:${key}`, draft?.problems ?? []);
    const broken = draft?.brokenBackends ?? [];
    this.#rows.replace(
      `ingress:${key}`,
      broken.map((row) => ({ kind: 'backend', row })),
    );
  }

  #isNamed(secret: ObjectKey): boolean {
    return this.#links.ofSecret(secret).size > 0 || secret === this.#options.defaultCertificateSecret;
  }

  #checkTls(view: ClusterView, key: ObjectKey, nowMs: number): void {
    const problems: Problem[] = [];
    for (const { secretKey, source } of this.#links.draft(key)?.tls ?? []) {
      if (secretKey === null) continue;
      const at = { ...source, field: `${source.field}.secretName` };
      const found = certificateProblem(this.#secrets.certificate(view, secretKey), secretKey, at, nowMs);
      if (found !== undefined) problems.push(found);
    }
    const draft = this.#links.draft(key);
    if (draft !== undefined) problems.push(...shownCertificateProblems(draft, this.#secrets.states(view), nowMs));
    this.#problems.replace(`tls:${key}`, problems);
  }

  #host(view: ClusterView, hostname: string): void {
    const shares = this.#links.sharesOf(hostname);
    const stateOf = (secret: ObjectKey): CertificateState => this.#secrets.certificate(view, secret);
    const tls = settleTls(
      hostname,
      (name) => this.#links.sharesOf(name),
      stateOf,
      this.#options.defaultCertificateSecret,
    );
    const fallback = this.#defaultPort && { backendId: this.#defaultPort.portKey, source: this.#defaultPort.source };
    const drafts = this.#links.ofHost(hostname);
    const auth = settleClientAuth(hostname, shares, this.#secrets.states(view));
    const input = { hostname, drafts, shares, tls, auth, fallback };
    const { rows, problems } = compileHost(input, this.#routeRows, this.#options);
    this.#rows.replace(`host:${hostname}`, rows);
    this.#problems.replace(`host:${hostname}`, problems);
    const isTerminated = rows.length > 0 && !rows.some(({ kind }) => kind === 'l4route');
    this.#secrets.use(view, `host:${hostname}`, {
      certificates: isTerminated ? [...tls.certificates, ...tls.consulted] : [],
      authorities: isTerminated ? auth.authorities : [],
    });
  }

  /** Ports that go to Services unread. */
  #services(view: ClusterView, dirty: Dirty): void {
    const { tcpServices, udpServices } = this.#given;
    const parts = [
      ...(tcpServices === null ? [] : [{ transport: 'tcp' as const, key: tcpServices }]),
      ...(udpServices === null ? [] : [{ transport: 'udp' as const, key: udpServices }]),
    ].map(({ transport, key }) => compileL4Services(transport, view.get('ConfigMap', key), key, this.#options));
    this.#rows.replace(
      'l4',
      parts.flatMap(({ rows }) => rows),
    );
    this.#problems.replace(
      'l4',
      parts.flatMap(({ problems }) => problems),
    );
    for (const portKey of this.#l4.replace(parts.flatMap(({ refs }) => refs))) dirty.ports.add(portKey);
  }

  #port(view: ClusterView, portKey: string): void {
    const users = this.#links.ofPort(portKey).map((draft) => ({ draft, refs: draft.refsByPort.get(portKey) ?? [] }));
    const isDefaultBackend = portKey === this.#defaultPort?.portKey;
    const flows = this.#l4.ofPort(portKey);
    const named = users[0]?.refs[0] ?? flows[0] ?? (isDefaultBackend ? this.#defaultPort : null);
    if (named === null) {
      this.#rows.replace(`port:${portKey}`, []);
      this.#problems.replace(`port:${portKey}`, []);
      this.#secrets.use(view, `port:${portKey}`, noSecrets);
      return;
    }
    const { serviceKey, port } = named;
    const service = view.get('Service', serviceKey);
    const slices = this.#slices.of(view, serviceKey);
    const [namespace, serviceName] = splitKey(serviceKey);
    const { rows, problems, secrets } = compilePort(
      { portKey, namespace, serviceName, port, users, isDefaultBackend, flows, service, slices },
      this.#secrets.states(view),
      this.#options,
    );
    this.#rows.replace(`port:${portKey}`, rows);
    this.#problems.replace(`port:${portKey}`, problems);
    this.#secrets.use(view, `port:${portKey}`, secrets);
  }

  #listeners(view: ClusterView, nowMs: number): void {
    const secret = this.#options.defaultCertificateSecret;
    const state = secret === null ? undefined : this.#secrets.certificate(view, secret);
    this.#rows.replace('listeners', listenerRows(this.#options, state?.type === 'good' ? state.row.id : null));
    if (secret === null || state === undefined) return;
    this.#secrets.use(view, 'listeners', { certificates: [secret], authorities: [] });
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

function isMalformed({ code, kind, namespace, name }: ReadProblem, configMap: ObjectKey | null): boolean {
  return code === 'ObjectMalformed' && kind === 'ConfigMap' && `${namespace}/${name}` === configMap;
}

function readProblem({ code, kind, namespace, name, field, message }: ReadProblem): Problem {
  return problem(code, { kind, namespace, name, ...(field === '' ? {} : { field }) }, { message });
}
