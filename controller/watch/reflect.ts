import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { Cluster } from './api.ts';
import { ApiFailure, failureOf } from './apifailure.ts';
import { answeredLimitMs, Backoff, unreachableLimitMs } from './backoff.ts';
import { DeadMan } from './deadman.ts';
import { collectionPath, type WatchedKind } from './kinds.ts';
import { linesOf } from './lines.ts';
import { identityOf, propertyOf, type ReadResult, readObject, versionOf } from './read.ts';
import type { KindState } from './source.ts';
import type { ObjectKey } from './view.ts';

/** An object as it came, with the number that orders it (0 if the server's is no number). */
export interface Arrival {
  key: ObjectKey;
  uid: string;
  result: ReadResult;
  version: number;
}

/** Who hears what a reflector reads. All calls of one list come in one go: nothing in between is ever seen. */
export interface ReflectorSink {
  /** Objects that are not asked for are dropped before they are read. */
  isWanted(key: ObjectKey): boolean;
  /** Whether a put would tell anything. Asked page by page: comparing ten thousand objects in one go takes too long. */
  isNews(arrival: Arrival): boolean;
  put(arrival: Arrival): void;
  /** Reads of every object as it came what is not part of the view; what it returns is called when the object counts. */
  tap?(key: ObjectKey, raw: unknown): () => void;
  remove(key: ObjectKey, version: number): void;
  /** Everything up to this version has been told. */
  seen(version: number): void;
  /** Nothing has changed, but what has been seen has moved on. */
  bookmarked(): void;
  /** A full list has been told. */
  listed(): void;
  /** The server refused to show this kind (403, 404). */
  refused(): void;
}

export interface ReflectorOptions {
  cluster: Cluster;
  kind: WatchedKind;
  /** null: all namespaces. */
  namespace: string | null;
  sink: ReflectorSink;
  log: Log;
  /** In [0, 1). */
  random: () => number;
  /** How long a watch may say nothing before it counts as dead; tests shorten it. */
  silenceLimitMs?: number;
}

/** client-go's spread: watches renew, and not all at once. */
const leastWatchS = 300;
const watchSpreadS = 300;
/** Beyond the end that we asked the server for. */
const graceMs = 15_000;
/** Bookmarks come about once a minute. Where they do, this long a silence is a half-open connection. */
const bookmarkSilenceMs = 180_000;
/** A watch that ends sooner than this did not work, whatever its status. */
const shortWatchMs = 1_000;
/** After which a page is asked for again, at the soonest; where a list stands is remembered for some minutes. */
const pageRetryMs = 1_000;
/** A watch that has told nothing for so long may tell nothing for long: bookmarks come about once a minute. */
const quietWatchMs = 2_000;
/** Decoding yields to the rest of the process this often. */
const sliceMs = 10;

/** Refusals that say nothing of the place in history that was asked for. */
const saysNothingOfPlace: ReadonlySet<number> = new Set([401, 403, 429, 503]);

/** Why a watch ends in whose place there is to be a list. */
const lookedAnew = new Error('somebody has seen more');

/**
 * Follows one kind in one scope: list in pages, watch from there, resume where the watch broke off, list anew when the
 * server has forgotten that place (410), and tell the difference only. Never gives up, and never forgets what it knows
 * because it cannot ask.
 */
export class Reflector {
  readonly #options: ReflectorOptions;
  #backoff: Backoff;
  readonly #stop = new AbortController();
  /** Version of each object that has been told. */
  readonly #known = new Map<ObjectKey, { uid: string; version: number }>();
  /** Where to resume; null: list. */
  #resumeAt: string | null = null;
  /** The latest place in history that was told. */
  #newest = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;
  #lists = 0;
  #listedAtMs = Number.NEGATIVE_INFINITY;
  #failure: string | null = null;
  #isAbsent = false;
  #nap = new AbortController();
  /** Ends the watch that is under way. */
  #watching: AbortController | null = null;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  start(): void {
    void this.#run();
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Tries again now, if it waits: the kind may have come. */
  wake(): void {
    if (this.#failure === null) return;
    this.#backoff = new Backoff(this.#options.random);
    this.#nap.abort();
  }

  /**
   * Somebody holds more of this kind than we have seen: it was listed there, and we are to hear of that place with the next
   * bookmark. A list tells it now. Where the watch is busy, it will have told by the next time that this is asked.
   */
  lookAnew(): void {
    if (this.#watching === null || performance.now() - this.#heardAtMs < quietWatchMs) return;
    this.#resumeAt = null;
    this.#watching.abort(lookedAnew);
  }

  /** The kind itself is gone, and with it all that there was of it; unlike a refusal, this is no lack of knowledge. */
  vanish(version: number): void {
    for (const key of [...this.#known.keys()]) this.#gone(key, version);
    this.#resumeAt = null;
  }

  /** The cluster does not have this kind, which is an answer as a list is. */
  get isAbsent(): boolean {
    return this.#isAbsent;
  }

  state(): KindState {
    return {
      lastEventAgeMs: performance.now() - this.#heardAtMs,
      relists: Math.max(0, this.#lists - 1),
      isSynced: this.#lists > 0,
      failure: this.#isAbsent ? null : this.#failure,
    };
  }

  /** Takes an object that was fetched by itself, as if it had come in the watch. */
  learn(raw: unknown): void {
    const arrival = this.#read(raw);
    if (arrival) this.#came(raw, arrival);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const beganMs = performance.now();
      try {
        if (this.#failure !== null && this.#resumeAt !== null) await this.#compareHistory();
        if (this.#resumeAt === null) await this.#list();
        await this.#watch(this.#resumeAt ?? '');
        const lastedMs = performance.now() - beganMs;
        this.#backoff.wasHealthyFor(lastedMs);
        if (lastedMs < shortWatchMs) await this.#wait(this.#backoff.nextMs(answeredLimitMs, null));
      } catch (error) {
        if (signal.aborted) return;
        this.#backoff.wasHealthyFor(performance.now() - beganMs);
        if (error === lookedAnew) continue;
        await this.#wait(this.#failed(error));
      }
    }
  }

  /** Notes why an attempt failed; returns how long to wait before the next. */
  #failed(error: unknown): number {
    const { kind, namespace, log, sink } = this.#options;
    const message = reasonOf(error);
    const isNew = this.#failure !== message;
    this.#failure = message;
    this.#isAbsent = kind.definition !== undefined && error instanceof ApiFailure && error.status === 404;
    if (!(error instanceof ApiFailure)) {
      if (isNew) log.warn({ kind: kind.kind, namespace }, `the API server cannot be reached: ${message}`);
      return this.#backoff.nextMs(unreachableLimitMs, null);
    }
    if (error.status === 410) {
      log.info({ kind: kind.kind, namespace }, 'the API server has forgotten where the watch stood; listing anew');
      const wasWatching = this.#resumeAt !== null;
      this.#resumeAt = null;
      // The list that follows is the cure; one that does not help waits: its watch was too short, or its pages expire.
      return wasWatching && performance.now() - this.#listedAtMs > shortWatchMs ? 0 : this.#delayMs(error);
    }
    if (isNew && this.#isAbsent) log.info({ kind: kind.kind }, `the cluster does not have ${kind.definition}`);
    else if (isNew) log.warn({ kind: kind.kind, namespace }, `the API server refused: ${message}`);
    if (error.status === 403 || error.status === 404) sink.refused();
    // Overload passes by itself, and so does that nobody can check who we are. Anything else may be about the place to resume at
    // (a version from before a restore from backup answers 504 for ever), which only a list can mend; it tells the difference alone,
    // so it harms nothing.
    if (!saysNothingOfPlace.has(error.status)) this.#resumeAt = null;
    return this.#delayMs(error);
  }

  #delayMs(failure: ApiFailure): number {
    return this.#backoff.nextMs(answeredLimitMs, failure.retryAfterMs);
  }

  async #wait(delayMs: number): Promise<void> {
    this.#nap = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, this.#nap.signal]);
    await sleep(delayMs, undefined, { signal }).catch(() => undefined);
  }

  #heard(): void {
    this.#heardAtMs = performance.now();
    if (this.#failure !== null)
      this.#options.log.info({ kind: this.#options.kind.kind }, 'the API server answers again');
    this.#failure = null;
  }

  /** Reads all pages, then tells what is new, what changed and what is gone since the last list or event. */
  async #list(): Promise<void> {
    const { cluster, kind, namespace, sink, log } = this.#options;
    const path = collectionPath(kind, namespace);
    // An object as it came is many times as large as what is read of it: none is kept.
    const arrivals = new Map<ObjectKey, { tell: (() => void) | undefined; arrival: Arrival; isNews: boolean }>();
    // What is learned while the pages come may be missing in them without being gone.
    const knownBefore = [...this.#known.keys()];
    // Nobody wanted them when their page was read; they may have been fetched since.
    const passedOver = new Set<ObjectKey>();
    let at = '';
    let version = 0;
    let next = '';
    let sliceBeganMs = performance.now();
    do {
      const query = new URLSearchParams({ limit: String(kind.pageSize) });
      if (kind.fieldSelector) query.set('fieldSelector', kind.fieldSelector);
      if (next) query.set('continue', next);
      const answer = await cluster.call({ path: `${path}?${query}`, signal: this.#stop.signal, ...acceptOf(kind) });
      // Who has too much to do is spared all that it has told already.
      if (answer.status === 429 && next) {
        log.info({ kind: kind.kind, namespace }, 'the API server is too busy for a page of a list; asking again');
        await this.#wait(Math.max(answer.retryAfterMs ?? 0, pageRetryMs) * (1 + this.#options.random()));
        continue;
      }
      if (answer.status !== 200) throw failureOf(answer.status, answer.body, answer.retryAfterMs);
      const items = propertyOf(answer.body, 'items');
      for (const raw of Array.isArray(items) ? items : []) {
        const arrival = this.#read(raw);
        if (arrival) {
          const { key } = arrival;
          arrivals.set(key, { tell: sink.tap?.(key, raw), arrival, isNews: sink.isNews(arrival) });
        } else passedOver.add(keyOfRaw(raw));
        if (performance.now() - sliceBeganMs < sliceMs) continue;
        await setImmediate();
        sliceBeganMs = performance.now();
      }
      const metadata = propertyOf(answer.body, 'metadata');
      version = versionOf(answer.body);
      at = textOf(propertyOf(metadata, 'resourceVersion'));
      if (at === '') throw new Error('the answer is no list');
      next = textOf(propertyOf(metadata, 'continue'));
      this.#heardAtMs = performance.now();
    } while (next);
    if (this.#stop.signal.aborted) return;
    // History went back, as after a restore from backup: what is there now is true, however old its versions.
    if (version < this.#newest) {
      const told = { kind: kind.kind, namespace, seen: this.#newest, now: version, objects: arrivals.size };
      log.warn(told, 'the API server has gone back in time, as with data from a backup or with none; it is believed');
      this.#known.clear();
    }
    this.#newest = version;
    for (const key of knownBefore) if (!arrivals.has(key) && !passedOver.has(key)) this.#gone(key, version);
    for (const { tell, arrival, isNews } of arrivals.values()) {
      if (!this.#isInOrder(arrival)) continue;
      tell?.();
      if (isNews) sink.put(arrival);
    }
    this.#resumeAt = at;
    this.#lists++;
    this.#listedAtMs = performance.now();
    this.#heard();
    sink.seen(version);
    sink.listed();
  }

  /**
   * An API server that was down may have been restored from a backup. It lets a watch begin at a version that it has
   * not reached, says nothing is wrong, and keeps silent about everything until it gets there.
   */
  async #compareHistory(): Promise<void> {
    const { cluster, kind, namespace } = this.#options;
    const answer = await cluster.call({
      path: `${collectionPath(kind, namespace)}?limit=1`,
      signal: this.#stop.signal,
      ...acceptOf(kind),
    });
    if (answer.status !== 200) throw failureOf(answer.status, answer.body, answer.retryAfterMs);
    if (versionOf(answer.body) < this.#newest) this.#resumeAt = null;
  }

  async #watch(from: string): Promise<void> {
    const { cluster, kind, namespace, random, silenceLimitMs } = this.#options;
    const timeoutS = Math.round(leastWatchS + random() * watchSpreadS);
    const query = new URLSearchParams({
      watch: '1',
      allowWatchBookmarks: 'true',
      resourceVersion: from,
      timeoutSeconds: String(timeoutS),
    });
    if (kind.fieldSelector) query.set('fieldSelector', kind.fieldSelector);
    const dead = new AbortController();
    this.#watching = dead;
    const deadMan = new DeadMan(silenceLimitMs ?? timeoutS * 1000 + graceMs, dead);
    const signal = AbortSignal.any([this.#stop.signal, dead.signal]);
    try {
      const answer = await cluster.stream(`${collectionPath(kind, namespace)}?${query}`, signal, kind.accept);
      if (answer.status !== 200) {
        throw failureOf(answer.status, await answer.body.json().catch(() => null), answer.retryAfterMs);
      }
      this.#heard();
      for await (const line of linesOf(answer.body)) {
        deadMan.heard();
        if (this.#event(JSON.parse(line)) === 'BOOKMARK') deadMan.tighten(silenceLimitMs ?? bookmarkSilenceMs);
      }
    } finally {
      deadMan.stop();
      this.#watching = null;
    }
  }

  /** Takes one event; returns its type. Throws what an ERROR event says. */
  #event(event: unknown): string {
    const type = textOf(propertyOf(event, 'type'));
    const raw = propertyOf(event, 'object');
    if (type === '') throw new Error('what came is no event, so it is not that of an API server');
    // 410 comes in a stream of status 200 too.
    if (type === 'ERROR') throw failureOf(Number(propertyOf(raw, 'code')) || 500, raw, null);
    this.#heard();
    const at = textOf(propertyOf(propertyOf(raw, 'metadata'), 'resourceVersion'));
    if (type === 'ADDED' || type === 'MODIFIED') {
      const arrival = this.#read(raw);
      if (arrival) this.#came(raw, arrival);
    } else if (type === 'DELETED') {
      this.#gone(keyOfRaw(raw), versionOf(raw));
    }
    if (at) {
      this.#resumeAt = at;
      this.#newest = versionOf(raw);
      this.#options.sink.seen(this.#newest);
    }
    if (type === 'BOOKMARK') this.#options.sink.bookmarked();
    return type;
  }

  #read(raw: unknown): Arrival | null {
    const key = keyOfRaw(raw);
    if (!this.#options.sink.isWanted(key)) return null;
    const uid = textOf(propertyOf(propertyOf(raw, 'metadata'), 'uid'));
    return { key, uid, version: versionOf(raw), result: readObject(this.#options.kind.kind, raw) };
  }

  #came(raw: unknown, arrival: Arrival): void {
    if (!this.#isInOrder(arrival)) return;
    this.#options.sink.tap?.(arrival.key, raw)();
    this.#options.sink.put(arrival);
  }

  /** Notes the object's version. A server that lags behind the one that we asked before must not take us back. */
  #isInOrder({ key, uid, version }: Arrival): boolean {
    const before = this.#known.get(key);
    if (before && before.uid === uid && before.version > version && version > 0) return false;
    this.#known.set(key, { uid, version });
    return true;
  }

  #gone(key: ObjectKey, version: number): void {
    this.#known.delete(key);
    this.#options.sink.remove(key, version);
  }
}

function acceptOf({ accept }: WatchedKind): { accept?: string } {
  return accept === undefined ? {} : { accept };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function keyOfRaw(raw: unknown): ObjectKey {
  const { namespace, name } = identityOf(raw);
  return `${namespace}/${name}`;
}
