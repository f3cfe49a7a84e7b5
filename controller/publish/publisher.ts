import { type Ack, type Commit, schemaVersion } from '#table/change.ts';
import { type AnyKinds, type Contract, type KindIn, kindsOf, type RefIn, type RowIn } from '#table/contract.ts';
import { canonicalJson, rowHash, TableHash } from '#table/hash.ts';
import { type AckPost, rowLine } from '#table/wire.ts';
import { type Subscriber, Subscription } from './subscription.ts';

/** A row as it is kept: with the text that goes over the wire and into the hash. */
export interface StoredRow<M> {
  readonly entry: RowIn<M>;
  readonly line: string;
  readonly hash: bigint;
}

/** What one reader is sent at a time. */
export interface Batch<M> {
  readonly isSnapshot: boolean;
  readonly rows: readonly StoredRow<M>[];
  readonly deletes: readonly RefIn<M>[];
  readonly commit: Commit;
}

/** One reader, a proxy or an edge, as the controller knows it. */
export interface ReaderState {
  name: string;
  zone: string | null;
  node: string | null;
  /** Origin of its admin pages, `http://10.0.0.1:10254`; null: it has not said so. */
  admin: string | null;
  /** here: its stream ends in this process. elsewhere: another replica serves it, and it tells us what it applied. */
  connected: 'here' | 'elsewhere';
  appliedHash: string | null;
  /** Our own commit that had this content; null: none of late had. */
  appliedGeneration: number | null;
  /** The last answer was a refusal: why. Empty otherwise. */
  refused: Extract<Ack, { type: 'refused' }>['problems'];
}

/**
 * Holds the rows of one contract and brings every reader to them; for proxies they are the table. Each proxy has at most one
 * batch under way; what changes meanwhile gathers in its set of changed rows and goes out as one batch after its answer. So
 * the first change is never delayed, a slow proxy delays nobody else, and what a stalled proxy can cost is bounded by the
 * table.
 */
export class Publisher<M extends AnyKinds> {
  readonly #contract: Contract<M>;
  readonly #rows = new Map<string, StoredRow<M>>();
  readonly #hash = new TableHash();
  readonly #subscriptions = new Set<Subscription<M>>();
  readonly #elsewhere = new Map<string, Elsewhere>();
  readonly #callbacks: ((generation: number) => void)[] = [];
  readonly #answerCallbacks: (() => void)[] = [];
  /** Of the last commits: an answer that went to another replica says only which content it is about. */
  readonly #generationByHash = new Map<string, number>();
  readonly #nowMs: () => number;
  /** Rows to put, and null for rows to drop; kept apart, because proxies are sent rows of the last commit at any time. */
  readonly #staged = new Map<string, { ref: RefIn<M>; entry: RowIn<M> | null }>();
  #commit: Commit | null = null;
  /** The newest commit of which was told that all readers have it, or a later one. */
  #toldGeneration = 0;
  /** A reader has come or gone, and nobody was told yet that all of those that are there now hold what was told of. */
  #areOthers = false;

  constructor(contract: Contract<M>, nowMs: () => number = Date.now) {
    this.#contract = contract;
    this.#nowMs = nowMs;
  }

  /** The last commit; null before the first. */
  get current(): Commit | null {
    return this.#commit;
  }

  /** Changes the table; proxies hear of it at the next commit. A row that is put as it is already costs nothing. */
  stage(upserts: readonly RowIn<M>[], deletes: readonly RefIn<M>[]): void {
    for (const ref of deletes) this.#staged.set(keyOf(ref.kind, ref.id), { ref, entry: null });
    for (const entry of upserts) {
      const ref = { kind: entry.kind, id: entry.row.id };
      this.#staged.set(keyOf(ref.kind, ref.id), { ref, entry });
    }
  }

  /** Makes what was staged the table. The generation counts only commits that changed something. */
  commit(seen: Readonly<Record<string, number>>, holds: Readonly<Record<string, number>>): Commit {
    const previous = this.#commit;
    const changed = new Map<string, RefIn<M>>();
    for (const [key, { ref, entry }] of this.#staged) {
      if (entry === null ? this.#drop(key) : this.#put(key, entry)) changed.set(key, ref);
    }
    this.#staged.clear();
    const hash = this.#hash.text();
    const hasChanged = previous === null || previous.hash !== hash;
    const generation = (previous?.generation ?? 0) + (hasChanged ? 1 : 0);
    const commit = { schemaVersion, generation, hash, seen: { ...seen }, holds: { ...holds } };
    this.#commit = commit;
    this.#remember(hash, generation);
    for (const subscription of this.#subscriptions) subscription.changed(changed);
    this.#settle();
    return commit;
  }

  /** A proxy comes. It is sent what it lacks: nothing but a commit if `subscriber.hash` is what we have. Call to leave. */
  subscribe(subscriber: Subscriber<M>): () => void {
    this.#elsewhere.delete(subscriber.name);
    const subscription = new Subscription(subscriber, {
      commit: () => this.#commit,
      row: (key) => this.#rows.get(key),
      rows: () => this.#rows.values(),
      rowCount: () => this.#rows.size,
      settled: () => this.#settle(),
    });
    this.#subscriptions.add(subscription);
    this.#areOthers ||= !subscriber.isObserver;
    subscription.changed(new Map());
    return () => {
      subscription.end();
      this.#areOthers ||= !subscriber.isObserver;
      this.#subscriptions.delete(subscription);
      this.#settle();
    };
  }

  /**
   * A proxy that another replica serves tells us its answer. Forgotten if it does not repeat it within 30 s.
   * @param admin origin of its admin pages
   */
  heardElsewhere(post: AckPost, admin: string | null = null): void {
    for (const subscription of this.#subscriptions) if (subscription.subscriber.name === post.name) return;
    const before = this.#elsewhere.get(post.name);
    this.#areOthers ||= before?.post.node !== post.node;
    this.#elsewhere.set(post.name, { post, admin, atMs: this.#nowMs() });
    this.#settle();
  }

  /** Forgets proxies of other replicas that have fallen silent. Called now and then. */
  expire(): void {
    for (const [name, heard] of this.#elsewhere) {
      if (this.#nowMs() - heard.atMs <= forgetAfterMs) continue;
      this.#elsewhere.delete(name);
      this.#areOthers = true;
    }
    this.#settle();
  }

  /**
   * Calls back each time that all proxies have come to hold a further commit, and when other proxies do than before; with the
   * newest that each of them has, or has a later one of. Where tables change faster than they are applied, that is never the last.
   */
  onApplied(callback: (generation: number) => void): void {
    this.#callbacks.push(callback);
  }

  /** Calls back whenever a reader has answered, come or gone. */
  onAnswer(callback: () => void): void {
    this.#answerCallbacks.push(callback);
  }

  /** true: there is a proxy, and every one of them has applied the table of the last commit. */
  isApplied(): boolean {
    const readers = this.readers();
    return readers.length > 0 && readers.every(({ appliedHash }) => appliedHash === this.#commit?.hash);
  }

  readers(): ReaderState[] {
    const states: ReaderState[] = [];
    const generationOf = (hash: string | null) => (hash === null ? null : (this.#generationByHash.get(hash) ?? null));
    for (const { subscriber, appliedHash, refused } of this.#subscriptions) {
      if (subscriber.isObserver) continue;
      const { name, zone, node, admin } = subscriber;
      const appliedGeneration = generationOf(appliedHash);
      states.push({ name, zone, node, admin, connected: 'here', appliedHash, appliedGeneration, refused });
    }
    for (const { post, admin } of this.#elsewhere.values()) {
      const { name, zone, node, ack } = post;
      const isApplied = ack.type === 'applied';
      states.push({
        name,
        zone,
        node,
        admin,
        connected: 'elsewhere',
        appliedHash: isApplied ? ack.hash : null,
        appliedGeneration: isApplied ? generationOf(ack.hash) : null,
        refused: isApplied ? [] : ack.problems,
      });
    }
    return states;
  }

  /** As staged last and committed. */
  row<K extends KindIn<M>>(kind: K, id: string): M[K] | undefined {
    return this.#rows.get(keyOf(kind, id))?.entry.row as M[K] | undefined;
  }

  countRows(): Record<KindIn<M>, number> {
    const counts = Object.fromEntries(kindsOf(this.#contract.schemas).map((kind) => [kind, 0]));
    for (const { entry } of this.#rows.values()) counts[entry.kind] = (counts[entry.kind] ?? 0) + 1;
    return counts as Record<KindIn<M>, number>;
  }

  /** false: the row was like that already. */
  #put(key: string, entry: RowIn<M>): boolean {
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
    const generation = this.#generationOfAll();
    const isNews = generation > this.#toldGeneration || (this.#areOthers && generation === this.#toldGeneration);
    if (generation > 0 && isNews) {
      this.#areOthers = false;
      this.#toldGeneration = generation;
      for (const callback of this.#callbacks) callback(generation);
    }
    for (const callback of this.#answerCallbacks) callback();
  }

  /** Of the reader that is furthest behind; 0: there is none, or it is not known what one of them has. */
  #generationOfAll(): number {
    const readers = this.readers();
    return readers.length === 0 ? 0 : Math.min(...readers.map(({ appliedGeneration }) => appliedGeneration ?? 0));
  }

  #remember(hash: string, generation: number): void {
    // Put last again: content may come back.
    this.#generationByHash.delete(hash);
    this.#generationByHash.set(hash, generation);
    if (this.#generationByHash.size <= rememberedCommits) return;
    const [oldest] = this.#generationByHash.keys();
    if (oldest !== undefined) this.#generationByHash.delete(oldest);
  }
}

interface Elsewhere {
  post: AckPost;
  admin: string | null;
  atMs: number;
}

const forgetAfterMs = 30_000;
const rememberedCommits = 1_000;

function keyOf(kind: string, id: string): string {
  return `${kind}/${id}`;
}
