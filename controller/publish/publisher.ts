import { type Ack, type Commit, schemaVersion } from '#table/change.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import type { Row, RowKind, RowRef } from '#table/rows.ts';
import { type AckPost, rowLine } from '#table/wire.ts';
import { type Subscriber, Subscription } from './subscription.ts';

/** A row as it is kept: with the text that goes over the wire and into the hash. */
export interface StoredRow {
  readonly entry: Row;
  readonly line: string;
  readonly hash: bigint;
}

/** What one proxy is sent at a time. */
export interface Batch {
  readonly isSnapshot: boolean;
  readonly rows: readonly StoredRow[];
  readonly deletes: readonly RowRef[];
  readonly commit: Commit;
}

/** One proxy as the controller knows it. */
export interface ProxyState {
  name: string;
  zone: string | null;
  node: string | null;
  /** here: its stream ends in this process. elsewhere: another replica serves it, and it tells us what it applied. */
  connected: 'here' | 'elsewhere';
  appliedHash: string | null;
  /** The last answer was a refusal: why. Empty otherwise. */
  refused: Extract<Ack, { type: 'refused' }>['problems'];
}

/**
 * Holds the table and brings every proxy to it. Each proxy has at most one batch under way; what changes meanwhile
 * gathers in its set of changed rows and goes out as one batch after its answer. So the first change is never delayed,
 * a slow proxy delays nobody else, and what a stalled proxy can cost is bounded by the table.
 */
export class Publisher {
  readonly #rows = new Map<string, StoredRow>();
  readonly #hash = new TableHash();
  readonly #subscriptions = new Set<Subscription>();
  readonly #elsewhere = new Map<string, Elsewhere>();
  readonly #callbacks: (() => void)[] = [];
  readonly #nowMs: () => number;
  /** Rows to put, and null for rows to drop; kept apart, because proxies are sent rows of the last commit at any time. */
  readonly #staged = new Map<string, { ref: RowRef; entry: Row | null }>();
  #commit: Commit | null = null;
  #wasApplied = false;

  constructor(nowMs: () => number = Date.now) {
    this.#nowMs = nowMs;
  }

  /** The last commit; null before the first. */
  get current(): Commit | null {
    return this.#commit;
  }

  /** Changes the table; proxies hear of it at the next commit. A row that is put as it is already costs nothing. */
  stage(upserts: readonly Row[], deletes: readonly RowRef[]): void {
    for (const ref of deletes) this.#staged.set(keyOf(ref.kind, ref.id), { ref, entry: null });
    for (const entry of upserts) {
      const ref = { kind: entry.kind, id: entry.row.id };
      this.#staged.set(keyOf(ref.kind, ref.id), { ref, entry });
    }
  }

  /** Makes what was staged the table. The generation counts only commits that changed something. */
  commit(seen: Readonly<Record<string, number>>, holds: Readonly<Record<string, number>>): Commit {
    const previous = this.#commit;
    const changed = new Map<string, RowRef>();
    for (const [key, { ref, entry }] of this.#staged) {
      if (entry === null ? this.#drop(key) : this.#put(key, entry)) changed.set(key, ref);
    }
    this.#staged.clear();
    const hash = this.#hash.text();
    const hasChanged = previous === null || previous.hash !== hash;
    const generation = (previous?.generation ?? 0) + (hasChanged ? 1 : 0);
    const commit = { schemaVersion, generation, hash, seen: { ...seen }, holds: { ...holds } };
    this.#commit = commit;
    for (const subscription of this.#subscriptions) subscription.changed(changed);
    this.#settle();
    return commit;
  }

  /** A proxy comes. It is sent what it lacks: nothing but a commit if `subscriber.hash` is what we have. Call to leave. */
  subscribe(subscriber: Subscriber): () => void {
    this.#elsewhere.delete(subscriber.name);
    const subscription = new Subscription(subscriber, {
      commit: () => this.#commit,
      row: (key) => this.#rows.get(key),
      rows: () => this.#rows.values(),
      rowCount: () => this.#rows.size,
      settled: () => this.#settle(),
    });
    this.#subscriptions.add(subscription);
    subscription.changed(new Map());
    return () => {
      subscription.end();
      this.#subscriptions.delete(subscription);
      this.#settle();
    };
  }

  /** A proxy that another replica serves tells us its answer. Forgotten if it does not repeat it within 30 s. */
  heardElsewhere(post: AckPost): void {
    for (const subscription of this.#subscriptions) if (subscription.subscriber.name === post.name) return;
    this.#elsewhere.set(post.name, { post, atMs: this.#nowMs() });
    this.#settle();
  }

  /** Forgets proxies of other replicas that have fallen silent. Called now and then. */
  expire(): void {
    for (const [name, heard] of this.#elsewhere) {
      if (this.#nowMs() - heard.atMs > forgetAfterMs) this.#elsewhere.delete(name);
    }
    this.#settle();
  }

  /** Calls back each time that all proxies have come to hold the table of the last commit. */
  onApplied(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  /** true: there is a proxy, and every one of them has applied the table of the last commit. */
  isApplied(): boolean {
    const proxies = this.proxies();
    return proxies.length > 0 && proxies.every((proxy) => proxy.appliedHash === this.#commit?.hash);
  }

  proxies(): ProxyState[] {
    const states: ProxyState[] = [];
    for (const { subscriber, appliedHash, refused } of this.#subscriptions) {
      if (subscriber.isObserver) continue;
      const { name, zone, node } = subscriber;
      states.push({ name, zone, node, connected: 'here', appliedHash, refused });
    }
    for (const { name, zone, node, ack } of this.#elsewhere.values().map(({ post }) => post)) {
      const isApplied = ack.type === 'applied';
      states.push({
        name,
        zone,
        node,
        connected: 'elsewhere',
        appliedHash: isApplied ? ack.hash : null,
        refused: isApplied ? [] : ack.problems,
      });
    }
    return states;
  }

  countRows(): Record<RowKind, number> {
    const counts: Record<RowKind, number> = {
      listener: 0,
      host: 0,
      route: 0,
      backend: 0,
      endpoints: 0,
      certificate: 0,
      secret: 0,
    };
    for (const { entry } of this.#rows.values()) counts[entry.kind]++;
    return counts;
  }

  /** false: the row was like that already. */
  #put(key: string, entry: Row): boolean {
    const json = canonicalJson(entry.row);
    const line = rowLine(entry.kind, json);
    const old = this.#rows.get(key);
    if (old?.line === line) return false;
    if (old) this.#hash.remove(old.hash);
    const hash = rowHash(entry.kind, json);
    this.#hash.add(hash);
    this.#rows.set(key, { entry, line, hash });
    return true;
  }

  /** false: there was no such row. */
  #drop(key: string): boolean {
    const old = this.#rows.get(key);
    if (!old) return false;
    this.#hash.remove(old.hash);
    return this.#rows.delete(key);
  }

  #settle(): void {
    const isApplied = this.isApplied();
    const hasBecomeApplied = isApplied && !this.#wasApplied;
    this.#wasApplied = isApplied;
    if (hasBecomeApplied) for (const callback of this.#callbacks) callback();
  }
}

interface Elsewhere {
  post: AckPost;
  atMs: number;
}

const forgetAfterMs = 30_000;

function keyOf(kind: RowKind, id: string): string {
  return `${kind}/${id}`;
}
