import { createHmac } from 'node:crypto';
import type { Redis } from 'ioredis';
import { reasonOf } from '#kit/reason.ts';
import type { AffinityEntry } from './affinity.ts';
import { isRefusal, openRedis, type RedisSettings } from './redis.ts';
import { uptimeMs } from './uptime.ts';

/** An item of the feed: its number, and what it says. Two servers that each took writes for a while may give one number to two items. */
export interface Item {
  readonly number: string;
  readonly text: string;
}

/** What stands before all items. */
export const beginning: Item = { number: '0', text: '' };

/** Entries of the feed, and the item that was the last to be read. */
export interface Reading {
  readonly entries: readonly AffinityEntry[];
  readonly last: Item;
}

/**
 * What proxies tell each other, as one Redis stream that all append to and all follow: it says to each reader what it has
 * missed, and asks nothing of a server that others use, too, but its own room.
 *
 * An item is one field: an entry's id, and `<endpoint> <expiry>`. Expiries are in the server's time, so that proxies whose
 * clocks differ agree which of two accounts is newer. Nothing in it tells who somebody is (select/clientip.ts), and nothing
 * outlives the longest timeout: each write drops older items, and a feed that nobody writes expires as a whole.
 */
export class Feed {
  isClosed = false;
  readonly #key: string;
  readonly #writer: Redis;
  readonly #reader: Redis;
  /** Server's time minus machine's clock, whole ms. */
  readonly #offsetMs: number;

  private constructor(key: string, writer: Redis, reader: Redis, offsetMs: number) {
    this.#key = key;
    this.#writer = writer;
    this.#reader = reader;
    this.#offsetMs = offsetMs;
  }

  /** @throws when the server cannot be used, which it cannot as a replica that takes no writes */
  static async open(settings: RedisSettings, key: string): Promise<Feed> {
    const writer = await openRedis(settings, answerMs);
    try {
      const [seconds = 0, micros = 0] = (await writer.time()).map(Number);
      const offsetMs = Math.round(seconds * 1000 + micros / 1000 - uptimeMs());
      await writer.pexpire(key, longestMs).catch((error: unknown) => {
        // What it holds can be heard all the same.
        if (!isRefusal(error)) throw error;
      });
      return new Feed(key, writer, await openRedis(settings, newsWaitMs + answerMs), offsetMs);
    } catch (error) {
      writer.disconnect();
      throw error;
    }
  }

  /** Whether an item is still there. One that was read and is not has been lost with others, or is too old to matter. */
  async holds({ number, text }: Item): Promise<boolean> {
    const [found] = await this.#reader.xrange(this.#key, number, number, 'COUNT', 1);
    return found !== undefined && textOf(found[1]) === text;
  }

  /** What stands behind an item. */
  async backlog(after: Item): Promise<Reading> {
    return this.#reading(await this.#reader.xread('COUNT', readCount, 'STREAMS', this.#key, after.number), after);
  }

  /** What stands behind an item, or comes within a second. */
  async news(after: Item): Promise<Reading> {
    const { number } = after;
    const streams = await this.#reader.xread('COUNT', readCount, 'BLOCK', newsWaitMs, 'STREAMS', this.#key, number);
    return this.#reading(streams, after);
  }

  /**
   * Rejects with the server's words when it takes no items, and adds none: its number is one that no feed takes any more. A
   * server whose memory is full refuses what needs room before it looks at the number, but would still take PEXPIRE.
   */
  async probe(): Promise<void> {
    await this.#writer.xadd(this.#key, 'NOMKSTREAM', '0-1', 'probe', '').catch((error: unknown) => {
      if (!/equal or smaller/.test(reasonOf(error))) throw error;
    });
  }

  /** Rejects with the server's words when it did not take all; what it took may be written again. */
  async write(entries: readonly AffinityEntry[]): Promise<void> {
    const pipeline = this.#writer.pipeline();
    for (const { id, endpoint, expiresMs } of entries) {
      pipeline.xadd(this.#key, 'MAXLEN', '~', mostItems, '*', id, `${endpoint} ${expiresMs + this.#offsetMs}`);
    }
    pipeline.xtrim(this.#key, 'MINID', Math.floor(uptimeMs()) + this.#offsetMs - longestMs);
    pipeline.pexpire(this.#key, longestMs);
    for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
  }

  close(): void {
    this.isClosed = true;
    this.#writer.disconnect();
    this.#reader.disconnect();
  }

  #reading(streams: [key: string, items: [number: string, fields: string[]][]][] | null, after: Item): Reading {
    const items = streams?.[0]?.[1] ?? [];
    const nowMs = uptimeMs();
    const last = items.at(-1);
    return {
      entries: items.flatMap(([, fields]) => this.#entriesOf(fields, nowMs)),
      last: last === undefined ? after : { number: last[0], text: textOf(last[1]) },
    };
  }

  /** Whoever can write to the server may have written anything; an endpoint that a backend does not have is never picked. */
  #entriesOf([id = '', value = '']: readonly string[], nowMs: number): AffinityEntry[] {
    const [, endpoint = '', expires = ''] = valuePattern.exec(value) ?? [];
    const expiresMs = Number(expires) - this.#offsetMs;
    const isSound = idPattern.test(id) && endpoint !== '' && expiresMs > nowMs && expiresMs <= nowMs + 2 * longestMs;
    return isSound ? [{ id, endpoint, expiresMs }] : [];
  }
}

const textOf = (fields: readonly string[]) => fields.join(' ');

/** The key of a fleet's feed. Fleets that share a server have different ones; none tells the fleet's own key. */
export function feedKeyOf(fleetKey: string): string {
  const scope = createHmac('sha256', Buffer.from(fleetKey, 'base64')).update('sluice share 1').digest('base64url');
  return `sluice:1:${scope.slice(0, 16)}:affinity`;
}

/** A server that does not answer for so long is as good as none, ms. */
export const answerMs = 1_000;
/** How long a read waits for news; no answer after that is a server that hangs, ms. */
const newsWaitMs = 1_000;
const readCount = 2_000;
/** About 80 bytes each: as many clients as a worker remembers, some of them twice because they came again. */
const mostItems = 200_000;
/** Longest timeout that a Service may ask for: a day, ms. */
const longestMs = 86_400_000;

const idPattern = /^[\w-]{22}$/;
const valuePattern = /^([0-9a-fA-F.:[\]]{3,64}) (\d{1,15})$/;
