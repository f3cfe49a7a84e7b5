import { setImmediate } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import type { Intent } from '../addresses/allocator.ts';
import type { Allocation } from '../addresses/record.ts';
import { type ApiAnswer, isOfAnother } from '../watch/api.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { propertyOf, versionOf } from '../watch/read.ts';
import { type ClusterView, type ObjectKey, splitKey } from '../watch/view.ts';
import type { News } from './events.ts';
import { Pace } from './pace.ts';

export interface ServiceWriterOptions {
  write: WriteService;
  plans: PlanState;
  tell(news: News): void;
  log: Log;
}

/** Takes a step where Services are kept. Of one that was deleted and made anew, nothing is changed. */
export type WriteService = (
  key: ObjectKey,
  service: ObjectOf<'Service'>,
  step: Step,
  signal: AbortSignal,
) => Promise<ApiAnswer>;

/** Who has which address, as of the last plan, and what edges have of it. */
export interface PlanState {
  intents(): ReadonlyMap<ObjectKey, Intent>;
  assignments(): ReadonlyMap<ObjectKey, readonly Allocation[]>;
  reach(): EdgeReach;
}

/** What edges have of the plan at one moment. Generations are those of our own publisher. */
export interface EdgeReach {
  /** Every edge that may announce the address has this plan or a later one, and there is such an edge. */
  isAnnounced(address: string, generation: number): boolean;
  /** Every edge has this plan or a later one; true where there is none, and none to come. */
  isWithdrawn(generation: number): boolean;
}

const writesPerSecond = 100;
const burst = 200;
/** After the server refused a write, or somebody undid it: doubled each time. */
const firstWaitMs = 10_000;
const longestWaitMs = 600_000;

interface Entry {
  uid: string;
  /** Generation of the plan that first had what the Service has now. */
  plannedAt: number;
  /** What the view had before our last write, and the version that the write made. */
  before: ObjectOf<'Service'> | null;
  version: number;
  /** Last writes of a kind, each with what it said. */
  written: Map<Step['type'], string>;
  setbacks: number;
  notBeforeMs: number;
}

/** A plan, as far as Services go. */
export interface PlannedServices {
  view: ClusterView;
  /** Services whose addresses are others than in the plan before. */
  assigned: Iterable<ObjectKey>;
  /** Services that have changed in whatever way. */
  touched: Iterable<ObjectKey>;
  generation: number;
  /** Version of Services up to which the view has everything. */
  seen: number;
}

/** The next thing to write into a Service. */
export type Step =
  | { type: 'record'; intent: Intent }
  | { type: 'release'; intent: Intent }
  | { type: 'status'; addresses: readonly string[] };

/**
 * Writes into Services what allocation has decided, leader only: first the record, upon which every replica plans the
 * address; then, when the edges that may announce it have that plan, the status, which promises that traffic flows. On
 * the way back the plan comes first: what nobody announces any more is taken out of the Service, the finalizer with it.
 */
export class ServiceWriter {
  readonly #options: ServiceWriterOptions;
  readonly #pace = new Pace(writesPerSecond, burst);
  readonly #stop = new AbortController();
  readonly #entries = new Map<ObjectKey, Entry>();
  /** Services that something is, or may be, to be written into. */
  readonly #open = new Set<ObjectKey>();
  #view: ClusterView | null = null;
  #seen = 0;
  #isLeader = false;
  #isWriting = false;
  #isStale = false;
  #timer: NodeJS.Timeout | null = null;
  #writes = 0;
  #refusal = '';

  constructor(options: ServiceWriterOptions) {
    this.#options = options;
  }

  /** A plan was published. */
  planned({ view, assigned, touched, generation, seen }: PlannedServices): void {
    this.#view = view;
    this.#seen = seen;
    for (const key of assigned) {
      const uid = view.get('Service', key)?.metadata.uid;
      if (uid === undefined) this.#entries.delete(key);
      else this.#entry(key, uid).plannedAt = generation;
    }
    // Who comes to lead begins with all.
    if (!this.#isLeader) return;
    for (const keys of [assigned, touched, this.#options.plans.intents().keys()]) this.#openAll(keys);
    this.#write();
  }

  /** An edge has taken a plan, come or gone. */
  answered(): void {
    if (this.#open.size > 0) this.#write();
  }

  lead(isLeader: boolean): void {
    this.#isLeader = isLeader;
    // Who led before has written since.
    for (const entry of this.#entries.values()) entry.written.clear();
    this.#open.clear();
    if (!isLeader) return;
    const { plans } = this.#options;
    for (const keys of [plans.assignments().keys(), plans.intents().keys()]) this.#openAll(keys);
    this.#write();
  }

  /** For metrics: writes so far, and Services that wait for something, be it an edge. */
  state(): { writes: number; waiting: number } {
    return { writes: this.#writes, waiting: this.#open.size };
  }

  stop(): void {
    this.#stop.abort();
    if (this.#timer) clearTimeout(this.#timer);
  }

  #openAll(keys: Iterable<ObjectKey>): void {
    for (const key of keys) this.#open.add(key);
  }

  #write(): void {
    this.#isStale = true;
    if (!this.#isWriting) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    // What one turn of the event loop brings is looked at together.
    await setImmediate();
    while (this.#isStale && this.#canWrite()) {
      this.#isStale = false;
      let nextMs = Number.POSITIVE_INFINITY;
      const reach = this.#options.plans.reach();
      for (const key of [...this.#open]) {
        if (!this.#canWrite()) break;
        nextMs = Math.min(nextMs, await this.#advance(key, reach));
      }
      this.#wakeIn(nextMs - performance.now());
    }
    this.#isWriting = false;
  }

  #canWrite(): boolean {
    return this.#isLeader && !this.#stop.signal.aborted;
  }

  #wakeIn(delayMs: number): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = Number.isFinite(delayMs) ? setTimeout(() => this.#write(), Math.max(0, delayMs)) : null;
  }

  /** Takes the next step for one Service. @returns when to look again; Infinity: when something changes */
  async #advance(key: ObjectKey, reach: EdgeReach): Promise<number> {
    const service = this.#view?.get('Service', key);
    if (!service) {
      this.#open.delete(key);
      this.#entries.delete(key);
      return Number.POSITIVE_INFINITY;
    }
    const entry = this.#entry(key, service.metadata.uid);
    const step = this.#next(key, service);
    if (step === null) {
      this.#open.delete(key);
      return Number.POSITIVE_INFINITY;
    }
    if (!isDue(step, entry, reach) || !this.#hasSeen(service, entry)) return Number.POSITIVE_INFINITY;
    const text = JSON.stringify(step);
    if (entry.notBeforeMs <= performance.now() && entry.written.get(step.type) === text) {
      this.#setBack(key, entry, 'somebody else keeps changing it');
    }
    if (entry.notBeforeMs > performance.now()) return entry.notBeforeMs;
    await this.#pace.take(this.#stop.signal);
    if (!this.#canWrite()) return Number.POSITIVE_INFINITY;
    // What is taken back may be given again, and that is no repetition.
    if (step.type === 'release') entry.written.clear();
    entry.written.set(step.type, text);
    const answer = await this.#options.write(key, service, step, this.#stop.signal);
    if (answer.status === 200) {
      this.#writes++;
      this.#refusal = '';
      entry.before = service;
      entry.version = versionOf(answer.body);
      this.#tellOf(key, service, step);
      return Number.POSITIVE_INFINITY;
    }
    return this.#refused(key, entry, answer);
  }

  /** Whether our last write has come back by the watch: until then the view is older than it. */
  #hasSeen(service: ObjectOf<'Service'>, { before, version }: Entry): boolean {
    return service !== before && this.#seen >= version;
  }

  #entry(key: ObjectKey, uid: string): Entry {
    const known = this.#entries.get(key);
    if (known?.uid === uid) return known;
    const entry: Entry = {
      uid,
      plannedAt: 0,
      before: null,
      version: 0,
      written: new Map(),
      setbacks: 0,
      notBeforeMs: 0,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  /** null: the Service says what it should. */
  #next(key: ObjectKey, service: ObjectOf<'Service'>): Step | null {
    const { plans } = this.#options;
    const intent = plans.intents().get(key);
    if (intent?.uid === service.metadata.uid)
      return { type: intent.allocations.length > 0 ? 'record' : 'release', intent };
    const addresses = plans
      .assignments()
      .get(key)
      ?.map(({ address }) => address);
    if (addresses === undefined) return null;
    const told = service.status?.loadBalancer?.ingress ?? [];
    const isTold =
      told.length === addresses.length &&
      told.every(({ ip, ipMode = 'VIP' }, i) => ip === addresses[i] && ipMode === 'VIP');
    return isTold ? null : { type: 'status', addresses };
  }

  #tellOf(key: ObjectKey, { metadata: { uid, deletionTimestamp } }: ObjectOf<'Service'>, step: Step): void {
    const [namespace, name] = splitKey(key);
    const source = { kind: 'Service', namespace, name };
    if (step.type === 'record') {
      const given = step.intent.allocations.map(({ address, pool }) => `${address} of AddressPool ${pool}`);
      const message = `Given ${given.join(' and ')}.`;
      this.#options.tell({ reason: 'AddressAllocated', action: 'Write', source, uid, message });
    } else if (step.type === 'release' && deletionTimestamp === '') {
      this.#options.tell({
        reason: 'AddressReleased',
        action: 'Write',
        source,
        uid,
        message: 'Nobody announces it, and it has no address any more.',
      });
    }
  }

  #refused(key: ObjectKey, entry: Entry, answer: ApiAnswer): number {
    const { status, body, retryAfterMs } = answer;
    // Whatever has come in between, the watch will say so.
    if (isOfAnother(answer) || status === 409 || this.#stop.signal.aborted) return Number.POSITIVE_INFINITY;
    const reason = `${status} ${propertyOf(body, 'message') ?? ''}`.trim();
    this.#setBack(key, entry, reason);
    if (retryAfterMs !== null) entry.notBeforeMs = performance.now() + retryAfterMs;
    return entry.notBeforeMs;
  }

  #setBack(key: ObjectKey, entry: Entry, reason: string): void {
    if (performance.now() - entry.notBeforeMs > longestWaitMs) entry.setbacks = 0;
    const waitMs = Math.min(firstWaitMs * 2 ** entry.setbacks, longestWaitMs);
    entry.setbacks++;
    entry.written.clear();
    entry.notBeforeMs = performance.now() + waitMs;
    const message = `a Service cannot be written; it is tried again in ${waitMs / 1000} s: ${reason}`;
    if (reason !== this.#refusal) this.#options.log.warn({ service: key }, message);
    this.#refusal = reason;
  }
}

function isDue(step: Step, { plannedAt }: Entry, reach: EdgeReach): boolean {
  if (step.type === 'record') return true;
  if (step.type === 'release') return reach.isWithdrawn(plannedAt);
  return step.addresses.every((address) => reach.isAnnounced(address, plannedAt));
}
