import type { Log } from '#kit/log.ts';
import type { Cluster } from './api.ts';
import { Doubt } from './doubt.ts';
import { HeldView } from './held.ts';
import { IngressStatuses } from './ingressstatus.ts';
import { baseKinds, configMapKind, definitionKind, type WatchedKind } from './kinds.ts';
import type { AnyObject, ObjectKind, ObjectOf } from './objects.ts';
import { type Arrival, Reflector, type ReflectorSink } from './reflect.ts';
import { SecretLookups } from './secrets.ts';
import type { KindState, Source } from './source.ts';
import { keyOf, type ObjectKey, type ReadProblem, splitKey, type ViewChange, type ViewUpdate } from './view.ts';

export interface ClusterSourceOptions {
  cluster: Cluster;
  /** Only these; empty: all. Objects without a namespace are watched in any case. */
  namespaces: readonly string[];
  /** Beside those that are always watched; where there are some, all kinds count, and none may be refused. */
  kinds: readonly WatchedKind[];
  /** Secrets of this one are looked up, too, whatever `namespaces` says. */
  ownNamespace: string;
  /** No other ConfigMaps are looked at; these are, in whatever namespace. */
  configMaps: readonly ObjectKey[];
  onUpdate: (update: ViewUpdate) => void;
  log: Log;
  /** How long after all nodes were silent at once it is doubted that all pods are unready, ms; 30,000 when absent. */
  doubtMs?: number;
  /** In [0, 1): spreads the ends of watches and the waits after failures. */
  random?: () => number;
}

/** Follows the objects of an API server. The first update comes when every kind has been listed once. */
export function watchCluster(options: ClusterSourceOptions): ClusterSource {
  const source = new ClusterSource(options);
  source.start();
  return source;
}

interface Scope {
  kind: WatchedKind;
  reflector: Reflector;
  /** The first update waits for it, and takes no refusal for an answer. */
  isEssential: boolean;
  isRefused: boolean;
}

/** What came since the last update, to be put into the view all at once. */
interface Staged {
  kind: ObjectKind;
  key: ObjectKey;
  /** null: gone. */
  object: AnyObject | null;
  version: number;
}

export class ClusterSource implements Source {
  /** For who writes them; not part of the view. */
  readonly ingressStatuses = new IngressStatuses();
  readonly #options: ClusterSourceOptions;
  readonly #view = new HeldView();
  readonly #scopes: Scope[] = [];
  readonly #secrets: SecretLookups;
  readonly #definitions: Reflector | null = null;
  readonly #doubt: Doubt<Staged>;
  #doubtTimer: NodeJS.Timeout | undefined;
  #staged: Staged[] = [];
  readonly #unreadable = new Map<string, ReadProblem>();
  readonly #seen: Record<string, number> = {};
  readonly #holds: Record<string, number> = {};
  #flush: NodeJS.Immediate | null = null;
  #isDue = false;
  #isStarted = false;
  #isStopped = false;

  constructor(options: ClusterSourceOptions) {
    this.#options = options;
    const { cluster, log, namespaces, kinds, configMaps, random = Math.random } = options;
    this.#doubt = new Doubt(options.doubtMs ?? 30_000);
    for (const kind of [...baseKinds, ...kinds]) {
      for (const namespace of kind.isNamespaced && namespaces.length > 0 ? namespaces : [null]) {
        this.#scopes.push(this.#scope(kind, namespace, `${namespace ?? ''}/`, random));
      }
    }
    for (const key of new Set(configMaps)) {
      const [namespace, name] = splitKey(key);
      this.#scopes.push(this.#scope(configMapKind(name), namespace, key, random));
    }
    if (kinds.some(({ definition }) => definition !== undefined)) this.#definitions = this.#watchDefinitions(random);
    this.#secrets = new SecretLookups({
      cluster,
      log,
      random,
      sink: this.#hearing('Secret', '/'),
      forget: (key) => {
        this.#staged = this.#staged.filter((staged) => staged.kind !== 'Secret' || staged.key !== key);
        this.#view.remove('Secret', key);
        this.#unreadable.delete(`Secret ${key}`);
      },
      settled: () => this.#tellSoon(),
    });
  }

  start(): void {
    for (const { reflector } of this.#scopes) reflector.start();
    this.#definitions?.start();
  }

  useSecrets(keys: ReadonlySet<ObjectKey>): ReadonlySet<ObjectKey> {
    const { namespaces, ownNamespace } = this.#options;
    if (namespaces.length === 0) return this.#secrets.use(keys);
    const isInScope = (key: ObjectKey) => [...namespaces, ownNamespace].includes(splitKey(key)[0]);
    return this.#secrets.use(new Set([...keys].filter(isInScope)));
  }

  /** A proxy or an edge holds more of this kind than we have seen, and refuses what we publish until we have. */
  lookAnew(kind: string): void {
    for (const scope of this.#scopes) if (scope.kind.kind === kind) scope.reflector.lookAnew();
    if (kind === 'Secret') this.#secrets.lookAnew();
  }

  state(): Record<string, KindState> {
    const states: Record<string, KindState> = {};
    const { namespaces } = this.#options;
    // What a controller of some namespaces alone must not see is not amiss.
    const seen = this.#scopes.filter(
      ({ kind, isRefused }) => kind.isNamespaced || !isRefused || namespaces.length === 0,
    );
    const all = seen.map(({ kind, reflector }) => ({ kind: kind.kind, state: reflector.state() }));
    for (const state of this.#secrets.states()) all.push({ kind: 'Secret', state });
    for (const { kind, state } of all) {
      const other = states[kind];
      states[kind] = other ? worseOf(state, other) : state;
    }
    return states;
  }

  stop(): void {
    this.#isStopped = true;
    for (const { reflector } of this.#scopes) reflector.stop();
    this.#definitions?.stop();
    this.#secrets.stop();
    if (this.#flush) clearImmediate(this.#flush);
    clearTimeout(this.#doubtTimer);
  }

  /** @param key as of all objects of the scope: `namespace/` where it has many */
  #scope(kind: WatchedKind, namespace: string | null, key: ObjectKey, random: () => number): Scope {
    const { cluster, log, namespaces, kinds } = this.#options;
    // Plans are made of all kinds: without Announcements edges would take all addresses down, without Nodes as well.
    const isEssential = kind.isEssential || kinds.length > 0;
    const hearing = this.#hearing(kind.kind, key);
    const scope: Scope = {
      kind,
      // With the rights of some namespaces alone, nothing outside them can be seen: classes then count by their names.
      isEssential: isEssential && (kind.isNamespaced || namespaces.length === 0),
      isRefused: false,
      reflector: new Reflector({
        cluster,
        kind,
        namespace,
        log,
        random,
        sink: {
          ...hearing,
          // An API server that starts refuses what it does not afterwards.
          seen: (version) => {
            scope.isRefused = false;
            hearing.seen(version);
          },
          ...(kind.kind === 'Ingress' && { tap: (key, raw) => this.ingressStatuses.read(key, raw) }),
          isWanted: () => true,
          listed: () => this.#tellSoon(),
          refused: () => {
            scope.isRefused = true;
            this.#tellSoon();
          },
        },
      }),
    };
    return scope;
  }

  /** A kind that the cluster does not have is asked for now and then; when its definition comes or changes, at once. */
  #watchDefinitions(random: () => number): Reflector {
    const { cluster, log } = this.#options;
    const scopesOf = (key: ObjectKey) => this.#scopes.filter(({ kind }) => `/${kind.definition}` === key);
    return new Reflector({
      cluster,
      kind: definitionKind,
      namespace: null,
      log,
      random,
      sink: {
        isWanted: (key) => scopesOf(key).length > 0,
        isNews: () => true,
        put: ({ key }) => {
          for (const { reflector } of scopesOf(key)) reflector.wake();
        },
        remove: (key, version) => {
          for (const { reflector } of scopesOf(key)) reflector.vanish(version);
        },
        seen: () => undefined,
        bookmarked: () => undefined,
        listed: () => undefined,
        refused: () => undefined,
      },
    });
  }

  #hearing(
    kind: ObjectKind,
    scope: ObjectKey,
  ): Pick<ReflectorSink, 'isNews' | 'put' | 'remove' | 'seen' | 'bookmarked'> {
    const counts = this.#countsOf(kind, scope);
    return {
      isNews: ({ key, result }) =>
        result.object === null ||
        this.#unreadable.has(`${kind} ${key}`) ||
        (kind === 'EndpointSlice' && this.#doubt.has(key)) ||
        this.#view.isNews(result.object),
      put: (arrival) => this.#put(kind, arrival),
      remove: (key, version) => this.#remove(kind, key, version),
      seen: (version) => {
        raise(this.#seen, counts, version);
      },
      bookmarked: () => this.#tellSoon(),
    };
  }

  /**
   * Under which names versions of a kind count. Each of several namespaces, and each of several ConfigMaps, has a watch of its
   * own, and what one has seen says nothing of the others. Secrets are followed only where some are used, so no two replicas
   * have the same.
   */
  #countsOf(kind: ObjectKind, key: ObjectKey): readonly string[] {
    const { namespaces, configMaps } = this.#options;
    if (kind === 'ConfigMap') return new Set(configMaps).size > 1 ? [kind, `${kind} ${key}`] : [kind];
    return apart.has(kind) && namespaces.length > 1 ? [kind, `${kind} ${splitKey(key)[0]}`] : [kind];
  }

  #put(kind: ObjectKind, { key, result, version }: Arrival): void {
    const { object, problem } = result;
    // What can no longer be read stays in force as it was; the problem says so.
    if (problem) {
      this.#unreadable.set(`${kind} ${key}`, problem);
      this.#isDue = true;
    } else {
      this.#mended(kind, key);
      this.#staged.push({ kind, key, object, version });
    }
    this.#flushSoon();
  }

  #remove(kind: ObjectKind, key: ObjectKey, version: number): void {
    this.#mended(kind, key);
    if (kind === 'Ingress') this.ingressStatuses.forget(key);
    this.#staged.push({ kind, key, object: null, version });
    this.#flushSoon();
  }

  #mended(kind: ObjectKind, key: ObjectKey): void {
    if (this.#unreadable.delete(`${kind} ${key}`)) this.#isDue = true;
  }

  /** There is something to tell even if no object changed. */
  #tellSoon(): void {
    this.#isDue = true;
    this.#flushSoon();
  }

  /** All that one turn of the event loop brings is one update; nothing waits longer than that. */
  #flushSoon(): void {
    if (this.#isStopped || this.#flush) return;
    this.#flush = setImmediate(() => {
      this.#flush = null;
      this.#tell();
    });
  }

  /** What was staged, but for what is said of all endpoints of a slice and is to be doubted (doubt.ts). */
  #believed(): Staged[] {
    const nowMs = performance.now();
    // Kinds come back one by one after an outage, and slices may be before the nodes.
    const isBlind = this.#scopes.some(
      ({ kind, reflector, isRefused }) => kind.kind === 'Node' && !isRefused && reflector.state().failure !== null,
    );
    this.#doubt.look(isBlind ? null : this.#nodes(), nowMs);
    const staged = this.#staged.map((each) => {
      if (each.kind !== 'EndpointSlice') return each;
      const slice = each.object?.kind === 'EndpointSlice' ? each.object : null;
      const meanwhile = this.#doubt.withholds(each, each.key, slice, this.#view, nowMs);
      return meanwhile === null ? each : { ...each, object: meanwhile };
    });
    this.#staged = [];
    const waitMs = this.#doubt.waitMs(nowMs);
    clearTimeout(this.#doubtTimer);
    if (waitMs === 0) staged.push(...this.#doubt.release());
    else if (waitMs !== null) this.#doubtTimer = setTimeout(() => this.#tellSoon(), waitMs);
    return staged;
  }

  /** Nodes with what is staged of them, one by one: with every change it is asked of them, and most often the first is heard. */
  *#nodes(): Iterable<ObjectOf<'Node'>> {
    const staged = new Map<ObjectKey, AnyObject | null>();
    for (const { kind, key, object } of this.#staged) if (kind === 'Node') staged.set(key, object);
    for (const object of staged.values()) if (object?.kind === 'Node') yield object;
    for (const node of this.#view.all('Node')) if (!staged.has(keyOf(node))) yield node;
  }

  #tell(): void {
    if (!this.#isStarted && !this.#scopes.every(isReady)) return;
    this.#isStarted = true;
    const changes = new Map<string, ViewChange>();
    for (const { kind, key, object, version } of this.#believed()) {
      const isChange = object ? this.#view.put(object) : this.#view.remove(kind, key);
      if (!isChange) continue;
      changes.set(`${kind} ${key}`, { kind, key });
      raise(this.#holds, this.#countsOf(kind, key), version);
    }
    if (changes.size === 0 && !this.#isDue) return;
    this.#isDue = false;
    // A table that needs no Secret or ConfigMap is as new as the objects that need none.
    const newest = Math.max(...Object.values(this.#seen));
    if (this.#secrets.states().length === 0) this.#seen['Secret'] = newest;
    if (this.#options.configMaps.length === 0) this.#seen['ConfigMap'] = newest;
    this.#options.onUpdate({
      view: this.#view,
      changes: [...changes.values()],
      unreadable: [...this.#unreadable.values()],
      seen: { ...this.#seen },
      holds: { ...this.#holds },
    });
  }
}

const apart: ReadonlySet<ObjectKind> = new Set(
  baseKinds.filter(({ isNamespaced }) => isNamespaced).map(({ kind }) => kind),
);

function raise(versions: Record<string, number>, names: readonly string[], version: number): void {
  for (const name of names) versions[name] = Math.max(versions[name] ?? 0, version);
}

function isReady({ isEssential, reflector, isRefused }: Scope): boolean {
  return reflector.state().isSynced || reflector.isAbsent || (isRefused && !isEssential);
}

/** Of several namespaces, the kind is as well as the worst. */
function worseOf(one: KindState, other: KindState): KindState {
  return {
    lastEventAgeMs: Math.max(one.lastEventAgeMs, other.lastEventAgeMs),
    relists: one.relists + other.relists,
    isSynced: one.isSynced && other.isSynced,
    failure: one.failure ?? other.failure,
  };
}
