import { setTimeout } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import type { Problem } from '#table/problem.ts';
import { type AffinityEntry, isNewer } from './affinity.ts';
import { answerMs, beginning, Feed, feedKeyOf, type Item } from './feed.ts';
import { isRefusal, type RedisSettings, redisReasonOf, serverOf } from './redis.ts';
import { uptimeMs } from './uptime.ts';

export interface ShareOptions {
  readonly redis: RedisSettings;
  readonly log: Log;
  /** What other proxies remember. */
  onEntries(entries: readonly AffinityEntry[]): void;
}

export interface ShareState {
  /** Both ways work: what others tell is heard, and what we tell is taken. */
  readonly isUp: boolean;
  readonly told: number;
  readonly heard: number;
  /** Entries that could not be told yet. */
  readonly waiting: number;
  /** Sessions that could not be had or ended, and writes that were refused. */
  readonly failures: number;
}

/**
 * What this proxy remembers, told to the other proxies of the fleet, and what they remember, heard from them. Every proxy
 * holds all of it, as HAProxy's peers do, so that no request ever waits for Redis, whatever becomes of it. To ask Redis for
 * clients that are unknown would cost each a round trip, and what was asked once would never hear that another proxy has
 * moved the client since.
 *
 * While Redis is away each proxy goes on with what it knows, and what is new waits: the newest account of each client only.
 * When it is back, what waited is told and what was missed is heard; when it has lost its memory, it gets ours again.
 */
export class Share {
  readonly #options: ShareOptions;
  readonly #server: string;
  /** Clients of which we gave the newest account, for a server that loses it. */
  readonly #ours = new Map<string, AffinityEntry>();
  /** What is to be told, the oldest first. */
  readonly #waiting = new Map<string, AffinityEntry>();
  readonly #stop = new AbortController();
  #key = '';
  /** The item up to which the feed was read. */
  #cursor = beginning;
  /** The one up to which it was when the server was looked at last: what came since says nothing of what was there before. */
  #anchor = beginning;
  #feed: Feed | null = null;
  #running: Promise<void> | null = null;
  #wake: () => void = () => undefined;
  #isUp = false;
  /** Why it is not up; null before the first try has ended. */
  #reason: string | null = null;
  #told = 0;
  #heard = 0;
  #failures = 0;

  constructor(options: ShareOptions) {
    this.#options = options;
    this.#server = serverOf(options.redis);
  }

  /** Tables came into force: proxies of one fleet have one key. The first call begins everything. */
  follow(fleetKey: string | undefined): void {
    const key = fleetKey === undefined ? '' : feedKeyOf(fleetKey);
    if (key === this.#key) return;
    this.#key = key;
    // Other ids, made with another key: what was known by the old ones will never be asked for.
    this.#cursor = this.#anchor = beginning;
    this.#ours.clear();
    this.#waiting.clear();
    this.#feed?.close();
    this.#running ??= this.#run();
  }

  /** To be told to the other proxies, soon. Never waits and never throws. */
  put(entries: readonly AffinityEntry[]): void {
    for (const entry of entries) {
      keep(this.#ours, entry);
      keep(this.#waiting, entry);
    }
    this.#wake();
  }

  /** What the others remember has been heard, or cannot be: no reason to keep clients waiting for it. */
  get hasSettled(): boolean {
    return this.#isUp || this.#reason !== null;
  }

  state(): ShareState {
    return {
      isUp: this.#isUp,
      told: this.#told,
      heard: this.#heard,
      waiting: this.#waiting.size,
      failures: this.#failures,
    };
  }

  problems(): Problem[] {
    if (this.#isUp || this.#reason === null) return [];
    return [
      {
        code: 'ShareUnavailable',
        severity: 'warning',
        source: { kind: 'Setting', namespace: '', name: 'redis-url' },
        message: `No state is shared through Redis at ${this.#server}: ${this.#reason}.`,
        hint: 'Each proxy goes on with what it remembers itself, and tries again every few seconds.',
      },
    ];
  }

  /** Tells what waits, if that takes no longer than a moment, and ends. */
  async close(): Promise<void> {
    const deadlineMs = performance.now() + lastWordsMs;
    while (this.#isUp && this.#waiting.size > 0 && performance.now() < deadlineMs) await setTimeout(10);
    this.#stop.abort();
    this.#feed?.close();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let failures = 0; !this.#stop.signal.aborted; failures++) {
      const startMs = performance.now();
      try {
        await this.#session();
      } catch (error) {
        this.#down(redisReasonOf(error));
      }
      if (performance.now() - startMs > steadyMs) failures = 0;
      await this.#pause(failures);
    }
  }

  /** From connecting to the loss of the connection, which is thrown. */
  async #session(): Promise<void> {
    const key = this.#key;
    const feed = await Feed.open(this.#options.redis, key);
    // Nobody could close it while it was being opened.
    if (this.#stop.signal.aborted || key !== this.#key) {
      feed.close();
      return;
    }
    this.#feed = feed;
    const loops: Promise<void>[] = [];
    try {
      await this.#catchUp(feed);
      await this.#probe(feed);
      loops.push(this.#listen(feed), this.#speak(feed));
      await Promise.race(loops);
    } finally {
      feed.close();
      this.#wake();
      await Promise.allSettled(loops);
      this.#feed = null;
    }
  }

  async #catchUp(feed: Feed): Promise<void> {
    if (!(await this.#isHeldBy(feed))) {
      this.#cursor = this.#anchor = beginning;
      for (const entry of this.#ours.values()) keep(this.#waiting, entry);
    }
    for (;;) {
      const { entries, last } = await feed.backlog(this.#cursor);
      if (last === this.#cursor) return;
      this.#hear(entries, last);
    }
  }

  /** Whether the server still has what was read of it, the last item and those before. */
  async #isHeldBy(feed: Feed): Promise<boolean> {
    for (const item of new Set([this.#anchor, this.#cursor])) {
      if (item !== beginning && !(await feed.holds(item))) return false;
    }
    this.#anchor = this.#cursor;
    return true;
  }

  async #listen(feed: Feed): Promise<void> {
    let lookedMs = performance.now();
    while (!feed.isClosed) {
      // A server that evicts, or is emptied, does not say so: whoever comes later would never hear what we know.
      if (performance.now() - lookedMs >= lookEveryMs) {
        lookedMs = performance.now();
        if (!(await this.#isHeldBy(feed))) throw new Error('it has lost what it held');
        if (!this.#isUp) await this.#probe(feed);
      }
      const { entries, last } = await feed.news(this.#cursor);
      this.#hear(entries, last);
    }
  }

  /** Whether writes are taken. Where some wait, that is known when they were written: they may be what was refused before. */
  async #probe(feed: Feed): Promise<void> {
    if (this.#nextBatch().length > 0) return;
    try {
      await feed.probe();
      this.#up();
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#down(redisReasonOf(error));
    }
  }

  #hear(entries: readonly AffinityEntry[], last: Item): void {
    this.#cursor = last;
    if (this.#anchor === beginning) this.#anchor = last;
    const news = entries.filter((entry) => {
      const ours = this.#ours.get(entry.id);
      if (ours === undefined) return true;
      if (!isNewer(entry, ours) || isOurOwn(entry, ours)) return false;
      this.#ours.delete(entry.id);
      this.#waiting.delete(entry.id);
      return true;
    });
    this.#heard += news.length;
    if (news.length > 0) this.#options.onEntries(news);
  }

  /** What comes while a write is under way goes with the next one. */
  async #speak(feed: Feed): Promise<void> {
    let refusals = 0;
    while (!feed.isClosed) {
      const batch = this.#nextBatch();
      if (batch.length === 0) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      try {
        await feed.write(batch);
      } catch (error) {
        // A full server is still worth listening to.
        if (!isRefusal(error)) throw error;
        this.#down(redisReasonOf(error));
        await this.#pause(refusals++);
        continue;
      }
      refusals = 0;
      this.#up();
      this.#told += batch.length;
      for (const entry of batch) if (this.#waiting.get(entry.id) === entry) this.#waiting.delete(entry.id);
    }
  }

  #nextBatch(): AffinityEntry[] {
    const batch: AffinityEntry[] = [];
    const nowMs = uptimeMs();
    for (const entry of this.#waiting.values()) {
      if (entry.expiresMs > nowMs) batch.push(entry);
      else this.#waiting.delete(entry.id);
      if (batch.length === mostAtOnce) break;
    }
    return batch;
  }

  #up(): void {
    if (this.#isUp) return;
    this.#isUp = true;
    this.#reason = null;
    this.#options.log.info({ ...this.#subject(), waiting: this.#waiting.size }, 'state is shared through Redis');
  }

  #down(reason: string): void {
    if (this.#stop.signal.aborted) return;
    this.#failures++;
    const isNews = this.#isUp || this.#reason !== reason;
    this.#isUp = false;
    this.#reason = reason;
    if (isNews) this.#options.log.warn({ ...this.#subject(), reason }, 'no state is shared: every proxy is on its own');
  }

  #subject(): { setting: string; server: string } {
    return { setting: 'redis-url', server: this.#server };
  }

  /** Grows with failures in a row; the jitter keeps a fleet from coming back in step. */
  async #pause(failures: number): Promise<void> {
    const ceilingMs = Math.min(maxBackoffMs, firstBackoffMs * 2 ** Math.min(failures, 20));
    const ms = ceilingMs / 2 + (Math.random() * ceilingMs) / 2;
    await setTimeout(ms, undefined, { signal: this.#stop.signal }).catch(() => {});
  }
}

/** As many as a worker remembers (affinity.ts). */
const mostClients = 100_000;
const mostAtOnce = 500;
const firstBackoffMs = 100;
const maxBackoffMs = 4_000;
/** After so long failures no longer count as "in a row", ms. */
const steadyMs = 10_000;
const lastWordsMs = 500;
/** What the server still holds is looked at so often, ms. */
const lookEveryMs = 1_000;

/** Our own account, whose expiry looks later since the server's clock was asked anew: each time that is off by its answer's way. */
function isOurOwn(entry: AffinityEntry, ours: AffinityEntry): boolean {
  return entry.endpoint === ours.endpoint && entry.expiresMs - ours.expiresMs <= answerMs;
}

/** The newest at the end; of too many the oldest goes. */
function keep(entries: Map<string, AffinityEntry>, entry: AffinityEntry): void {
  entries.delete(entry.id);
  entries.set(entry.id, entry);
  if (entries.size > mostClients) entries.delete(entries.keys().next().value ?? '');
}
