import type { Log } from '#kit/log.ts';
import { type Cluster, isOfAnother, unanswered } from '../watch/api.ts';
import { areSame, type IngressStatuses, type PublishedAddress } from '../watch/ingressstatus.ts';
import { propertyOf, versionOf } from '../watch/read.ts';
import { type ClusterView, type ObjectKey, splitKey } from '../watch/view.ts';
import { type PublishFrom, publishedAddresses } from './addresses.ts';
import { Pace } from './pace.ts';

export interface StatusWriterOptions {
  cluster: Cluster;
  /** Of the cluster's source: what the statuses are now. */
  statuses: IngressStatuses;
  from: PublishFrom;
  /** Names of the nodes that the connected proxies run on, now. */
  nodes(): readonly string[];
  log: Log;
  /** How long proxies may take to be heard of, from the beginning or when they change controllers, ms; 30,000 when absent. */
  hearingMs?: number;
}

/** What is in force at all connected proxies. */
export interface AppliedTable {
  view: ClusterView;
  /** Ours. */
  ingresses: readonly ObjectKey[];
}

/** Changes that come together are looked at together. */
const batchMs = 250;
/** Half of what the whole controller may send to the API server. */
const writesPerSecond = 20;
const burst = 40;
/** After another writer undid our write, or the server refused it: doubled each time. */
const firstWaitMs = 10_000;
const longestWaitMs = 600_000;

interface Entry {
  /** Of the Ingress that was written to last; null: none was. */
  uid: string | null;
  /** What we wrote last; null: nothing yet, or the wish has changed since. */
  written: readonly PublishedAddress[] | null;
  /** resourceVersion after that write; what is older, or ourselves, contests nothing. Infinity while it is under way. */
  writtenVersion: number;
  /** resourceVersion that the status was last seen to change at. */
  seenVersion: number;
  /** Writes in a row that were undone or refused. */
  setbacks: number;
  notBeforeMs: number;
}

/**
 * Writes Ingress.status.loadBalancer where it differs from what it should be: leader only, after the proxies have
 * applied, one paced merge patch for each. No addresses at all means that they are not known now, and clears nothing.
 */
export class StatusWriter {
  readonly #options: StatusWriterOptions;
  readonly #hearingMs: number;
  readonly #pace = new Pace(writesPerSecond, burst);
  readonly #stop = new AbortController();
  readonly #entries = new Map<ObjectKey, Entry>();
  #wanted: readonly PublishedAddress[] = [];
  #hasApplied = false;
  /** From then on all proxies are known, and with them all their nodes. */
  #knowsAllAtMs = Number.POSITIVE_INFINITY;
  /** Nodes, each with until when proxies were heard there; Infinity: they are. */
  readonly #heardUntilMs = new Map<string, number>();
  #forgetting: NodeJS.Timeout | undefined;
  #isLeader = false;
  #timer: { timeout: NodeJS.Timeout; atMs: number } | null = null;
  #isWriting = false;
  #writes = 0;
  #refusal = '';

  constructor(options: StatusWriterOptions) {
    this.#options = options;
    this.#hearingMs = options.hearingMs ?? 30_000;
    options.statuses.onChange((key) => this.#changed(key));
  }

  /** All connected proxies have applied this. */
  applied(table: AppliedTable): void {
    if (this.#stop.signal.aborted) return;
    if (!this.#hasApplied) this.#knowsAllAtMs = performance.now() + this.#hearingMs;
    if (this.#isByNodes())
      for (const node of this.#options.nodes()) this.#heardUntilMs.set(node, Number.POSITIVE_INFINITY);
    this.#look(table);
  }

  #look(table: AppliedTable): void {
    const { view, ingresses } = table;
    const wanted = publishedAddresses(this.#options.from, view, this.#recentNodes(table));
    const isNew = !areSame(wanted, this.#wanted);
    if (wanted.length === 0 && ingresses.length > 0 && (isNew || !this.#hasApplied)) this.#tellNone();
    this.#hasApplied = true;
    this.#wanted = wanted;
    const ours = new Set(ingresses);
    for (const key of this.#entries.keys()) if (!ours.has(key)) this.#entries.delete(key);
    for (const key of ours) {
      if (isNew || !this.#entries.has(key)) this.#entries.set(key, newEntry());
    }
    this.#lookIn(batchMs);
  }

  #isByNodes(): boolean {
    const { addresses, service } = this.#options.from;
    return addresses.length === 0 && service === null;
  }

  /**
   * Nodes of proxies, also of those that are away for a moment as they find another controller. While nobody is heard, nothing is
   * known of anybody. Asked anew when a wait is over: who is back by then counts, though a table may still be on its way.
   */
  #recentNodes(table: AppliedTable): readonly string[] {
    const nowMs = performance.now();
    const heard = new Set(this.#options.nodes());
    let restMs = Number.POSITIVE_INFINITY;
    for (const [node, lastMs] of this.#heardUntilMs) {
      const untilMs = heard.has(node) || heard.size === 0 ? Number.POSITIVE_INFINITY : Math.min(lastMs, nowMs);
      this.#heardUntilMs.set(node, untilMs);
      if (untilMs + this.#hearingMs <= nowMs) this.#heardUntilMs.delete(node);
      else restMs = Math.min(restMs, untilMs + this.#hearingMs - nowMs);
    }
    clearTimeout(this.#forgetting);
    if (Number.isFinite(restMs)) this.#forgetting = setTimeout(() => this.#look(table), restMs);
    return [...this.#heardUntilMs.keys()];
  }

  /** Statuses that never come are noticed late and by others (external-dns above all), so the reason is told here. */
  #tellNone(): void {
    const { service } = this.#options.from;
    const reason =
      service === null
        ? 'no proxy has told a node with an address, and neither --publish-address nor --publish-service is given'
        : `Service ${service} of --publish-service does not exist or has no address yet`;
    this.#options.log.warn({ source: service }, `statuses of Ingresses stay as they are: ${reason}`);
  }

  lead(isLeader: boolean): void {
    this.#isLeader = isLeader;
    // Who led before has written since.
    for (const entry of this.#entries.values()) entry.written = null;
    this.#lookIn(0);
  }

  /** For metrics: statuses written so far, and Ingresses whose status somebody else writes too. */
  state(): { writes: number; contested: number } {
    const contested = [...this.#entries].filter(([key, { setbacks }]) => setbacks > 0 && this.#isDue(key)).length;
    return { writes: this.#writes, contested };
  }

  stop(): void {
    this.#stop.abort();
    clearTimeout(this.#forgetting);
    if (this.#timer) clearTimeout(this.#timer.timeout);
  }

  /** A status is not what it was; our own writes come back here too. */
  #changed(key: ObjectKey): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#judge(key, entry);
    this.#lookIn(batchMs);
  }

  /** Did somebody else write after us, and other addresses? */
  #judge(key: ObjectKey, entry: Entry): void {
    const current = this.#options.statuses.get(key);
    if (!current) return;
    if (entry.uid !== null && (current.uid !== entry.uid || current.version < entry.seenVersion)) {
      // It was deleted and made anew, or restored from a backup: nobody has undone anything, and what we wrote is gone.
      this.#entries.set(key, newEntry());
      return;
    }
    entry.seenVersion = current.version;
    if (!entry.written || !areSame(entry.written, this.#wanted) || !this.#isLeader) return;
    if (current.version <= entry.writtenVersion || areSame(current.addresses, this.#wanted)) return;
    if (performance.now() - entry.notBeforeMs > longestWaitMs) entry.setbacks = 0;
    const waitMs = this.#setBack(entry);
    const message = `another writer changed the status of Ingress ${key}; ours is tried again in ${waitMs / 1000} s`;
    this.#options.log.warn({ ingress: key, setbacks: entry.setbacks }, message);
  }

  #setBack(entry: Entry): number {
    const waitMs = Math.min(firstWaitMs * 2 ** entry.setbacks, longestWaitMs);
    entry.setbacks++;
    entry.written = null;
    entry.notBeforeMs = performance.now() + waitMs;
    return waitMs;
  }

  #lookIn(delayMs: number): void {
    if (!this.#isLeader || this.#stop.signal.aborted) return;
    const atMs = performance.now() + delayMs;
    if (this.#timer && this.#timer.atMs <= atMs) return;
    if (this.#timer) clearTimeout(this.#timer.timeout);
    const timeout = setTimeout(() => {
      this.#timer = null;
      void this.#writeAll();
    }, delayMs);
    this.#timer = { timeout, atMs };
  }

  async #writeAll(): Promise<void> {
    if (this.#isWriting) return this.#lookIn(batchMs);
    this.#isWriting = true;
    let nextMs = Number.POSITIVE_INFINITY;
    for (const key of [...this.#entries.keys()]) {
      if (!this.#isLeader || this.#stop.signal.aborted) break;
      const entry = this.#entries.get(key);
      if (!entry || !this.#isDue(key)) continue;
      const notBeforeMs = () => Math.max(entry.notBeforeMs, this.#completeAtMs(key));
      if (notBeforeMs() <= performance.now()) await this.#write(key, entry);
      if (this.#isDue(key)) nextMs = Math.min(nextMs, notBeforeMs());
    }
    this.#isWriting = false;
    if (Number.isFinite(nextMs)) this.#lookIn(Math.max(batchMs, nextMs - performance.now()));
  }

  /**
   * From when on the wish is all that there is. Until a controller that has just begun knows all proxies, it takes no address of
   * their nodes away: whoever makes DNS records of statuses would follow.
   */
  #completeAtMs(key: ObjectKey): number {
    if (!this.#isByNodes()) return 0;
    const wanted = new Set(this.#wanted.map((address) => JSON.stringify(address)));
    const current = this.#options.statuses.get(key)?.addresses ?? [];
    return current.every((address) => wanted.has(JSON.stringify(address))) ? 0 : this.#knowsAllAtMs;
  }

  /** Whether the status is there, is not what it should be, and we have not just written it. */
  #isDue(key: ObjectKey): boolean {
    const entry = this.#entries.get(key);
    const current = this.#options.statuses.get(key);
    if (!entry || !current || this.#wanted.length === 0 || areSame(current.addresses, this.#wanted)) return false;
    return entry.written === null || !areSame(entry.written, this.#wanted);
  }

  async #write(key: ObjectKey, entry: Entry): Promise<void> {
    const { cluster, log } = this.#options;
    const [namespace, name] = splitKey(key);
    await this.#pace.take(this.#stop.signal);
    const uid = this.#options.statuses.get(key)?.uid;
    if (uid === undefined || !this.#isLeader || this.#stop.signal.aborted) return;
    const wanted = this.#wanted;
    // Told before it is sent: the watch may bring our own write sooner than the answer comes.
    entry.uid = uid;
    entry.written = wanted;
    entry.writtenVersion = Number.POSITIVE_INFINITY;
    const answer = await cluster
      .call({
        method: 'PATCH',
        path: `/apis/networking.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/ingresses/${encodeURIComponent(name)}/status`,
        contentType: 'application/merge-patch+json',
        // The uid is a condition: one that was made anew meanwhile may be another controller's.
        body: { metadata: { uid }, status: { loadBalancer: { ingress: wanted } } },
        signal: this.#stop.signal,
      })
      .catch(unanswered);
    if (answer.status === 200) {
      this.#writes++;
      this.#refusal = '';
      entry.writtenVersion = versionOf(answer.body);
      return this.#judge(key, entry);
    }
    if (isOfAnother(answer) || this.#stop.signal.aborted) return;
    this.#setBack(entry);
    if (answer.retryAfterMs !== null) entry.notBeforeMs = performance.now() + answer.retryAfterMs;
    const refusal = `statuses of Ingresses cannot be written: ${answer.status} ${propertyOf(answer.body, 'message') ?? ''}`;
    if (refusal !== this.#refusal) log.warn({ ingress: key }, refusal);
    this.#refusal = refusal;
  }
}

function newEntry(): Entry {
  return { uid: null, written: null, writtenVersion: 0, seenVersion: 0, setbacks: 0, notBeforeMs: 0 };
}
