import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import type { Cluster } from './api.ts';
import { answeredLimitMs, Backoff, unreachableLimitMs } from './backoff.ts';
import { collectionPath, secretKind } from './kinds.ts';
import { propertyOf, versionOf } from './read.ts';
import { Reflector, type ReflectorSink } from './reflect.ts';
import type { KindState } from './source.ts';
import { type ObjectKey, splitKey } from './view.ts';

export interface SecretLookupsOptions {
  cluster: Cluster;
  log: Log;
  random: () => number;
  sink: Pick<ReflectorSink, 'isNews' | 'put' | 'remove' | 'seen' | 'bookmarked'>;
  /** A Secret is no longer used: it may be forgotten. */
  forget(key: ObjectKey): void;
  /** Fewer Secrets are pending than before. */
  settled(): void;
}

/** A Secret that takes longer is treated as missing until it comes, so that one slow namespace holds up nothing else. */
const patienceMs = 2_000;
/**
 * Of those that the first table needs: no table of ours is in force yet, and proxies keep the one that they have, with
 * its certificates. A thousand namespaces take some seconds to list.
 */
const firstPatienceMs = 15_000;

/**
 * Secrets in use, and no others: one reflector for each namespace that has some, which drops the rest unread, and one
 * list of one name for a Secret that comes into use later. So the verbs list and watch are enough, in the namespaces that have
 * Secrets for us.
 */
export class SecretLookups {
  readonly #options: SecretLookupsOptions;
  readonly #reflectors = new Map<string, Reflector>();
  /** Each with the timer of its patience. */
  readonly #pending = new Map<ObjectKey, NodeJS.Timeout>();
  #wanted: ReadonlySet<ObjectKey> = new Set();
  /** Secrets that are being asked for, each with the version of a deletion told meanwhile: the answer may be older. */
  readonly #deletedAtByFetch = new Map<ObjectKey, number>();
  #isFirst = true;
  /** Until when tables wait for whatever is pending; null: they do not. */
  #heldUntilMs: number | null = null;
  readonly #stop = new AbortController();

  constructor(options: SecretLookupsOptions) {
    this.#options = options;
  }

  /**
   * As Source.useSecrets: the keys in use now, all of them; returns those that are still being looked up. None when some have been
   * for as long as our patience: where further ones come into use all the time, tables would wait without end.
   */
  use(keys: ReadonlySet<ObjectKey>): ReadonlySet<ObjectKey> {
    const before = this.#wanted;
    this.#wanted = new Set(keys);
    for (const key of before) if (!keys.has(key)) this.#drop(key);
    const namespaces = new Set([...keys].map(namespaceOf));
    for (const [namespace, reflector] of this.#reflectors) {
      if (namespaces.has(namespace)) continue;
      reflector.stop();
      this.#reflectors.delete(namespace);
    }
    const limitMs = this.#isFirst ? firstPatienceMs : patienceMs;
    if (keys.size > 0) this.#isFirst = false;
    const added = [...keys].filter((key) => !before.has(key));
    for (const key of added) {
      this.#pending.set(
        key,
        setTimeout(() => this.#settle([key]), limitMs),
      );
      const reflector = this.#reflectors.get(namespaceOf(key));
      if (reflector) void this.#fetch(key, reflector);
    }
    for (const namespace of namespaces) if (!this.#reflectors.has(namespace)) this.#follow(namespace);
    return this.#isHeld(limitMs) ? new Set(this.#pending.keys()) : new Set();
  }

  states(): KindState[] {
    return [...this.#reflectors.values()].map((reflector) => reflector.state());
  }

  lookAnew(): void {
    for (const reflector of this.#reflectors.values()) reflector.lookAnew();
  }

  stop(): void {
    for (const reflector of this.#reflectors.values()) reflector.stop();
    this.#stop.abort();
    for (const timer of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
  }

  #isHeld(limitMs: number): boolean {
    const nowMs = performance.now();
    if (this.#pending.size > 0) {
      this.#heldUntilMs ??= nowMs + limitMs;
      if (nowMs < this.#heldUntilMs) return true;
    }
    this.#heldUntilMs = null;
    return false;
  }

  #drop(key: ObjectKey): void {
    this.#forgetPending(key);
    this.#options.forget(key);
  }

  #follow(namespace: string): void {
    const { cluster, log, random, sink } = this.#options;
    const settleAll = () => this.#settle([...this.#pending.keys()].filter((key) => namespaceOf(key) === namespace));
    const reflector = new Reflector({
      cluster,
      kind: secretKind,
      namespace,
      log,
      random,
      sink: {
        isWanted: (key) => this.#wanted.has(key),
        isNews: (arrival) => sink.isNews(arrival),
        put: (arrival) => sink.put(arrival),
        remove: (key, version) => {
          if (this.#deletedAtByFetch.has(key)) this.#deletedAtByFetch.set(key, version);
          sink.remove(key, version);
        },
        seen: (version) => sink.seen(version),
        bookmarked: () => sink.bookmarked(),
        listed: settleAll,
        refused: settleAll,
      },
    });
    this.#reflectors.set(namespace, reflector);
    reflector.start();
  }

  /** The namespace is watched already, but dropped this Secret unread as long as nobody wanted it. */
  async #fetch(key: ObjectKey, reflector: Reflector): Promise<void> {
    const { cluster, random } = this.#options;
    const backoff = new Backoff(random);
    const [namespace, name] = splitKey(key);
    const query = new URLSearchParams({ fieldSelector: `metadata.name=${name}` });
    const path = `${collectionPath(secretKind, namespace)}?${query}`;
    const isInVain = () => this.#reflectors.get(namespace) !== reflector || !this.#wanted.has(key);
    while (!isInVain()) {
      this.#deletedAtByFetch.set(key, -1);
      const answer = await cluster.call({ path, signal: this.#stop.signal }).catch(() => null);
      const deletedAt = this.#deletedAtByFetch.get(key) ?? -1;
      this.#deletedAtByFetch.delete(key);
      if (this.#stop.signal.aborted || isInVain()) return;
      const [found] = answer?.status === 200 ? itemsOf(answer.body) : [];
      if (found !== undefined && !(versionOf(found) <= deletedAt)) reflector.learn(found);
      if (answer && saysWhatIsThere.has(answer.status)) this.#settle([key]);
      if (answer?.status === 200) return;
      const delayMs = backoff.nextMs(answer ? answeredLimitMs : unreachableLimitMs, answer?.retryAfterMs ?? null);
      await sleep(delayMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    }
  }

  #settle(keys: readonly ObjectKey[]): void {
    let count = 0;
    for (const key of keys) if (this.#forgetPending(key)) count++;
    if (count > 0) this.#options.settled();
  }

  #forgetPending(key: ObjectKey): boolean {
    clearTimeout(this.#pending.get(key));
    return this.#pending.delete(key);
  }
}

/** Others are about us or the server: 401 when it cannot check who we are, 429, a redirect of somebody in front. */
const saysWhatIsThere: ReadonlySet<number> = new Set([200, 403, 404]);

function itemsOf(list: unknown): unknown[] {
  const items = propertyOf(list, 'items');
  return Array.isArray(items) ? items : [];
}

function namespaceOf(key: ObjectKey): string {
  return splitKey(key)[0];
}
