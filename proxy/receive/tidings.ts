import { type Announced, type AnnouncedBy, mostAnnounced } from '#table/announced.ts';

/** What one controller has been told. */
interface Way {
  /** By key; null: nothing, or nobody knows what. */
  told: Map<string, AnnouncedBy> | null;
  /** The version that it has been told all of. */
  version: number;
  /** One message at a time: two could overtake each other. */
  isBusy: boolean;
}

/** A message, and what has been told once it has arrived. */
interface Message {
  readonly way: Way;
  readonly announced: Announced;
  readonly version: number;
}

/**
 * What each controller has been told of what this node announces: everything once, then differences. A message that is
 * lost, or a controller that knows nothing of us, has everything told anew.
 */
export class Tidings {
  readonly #source: () => Iterable<AnnouncedBy>;
  readonly #ways = new Map<string, Way>();
  #current = new Map<string, AnnouncedBy>();
  #version = 1;

  constructor(source: () => Iterable<AnnouncedBy>) {
    this.#source = source;
  }

  /** Looks at what is announced now. @returns whether there is a controller that is to hear of something */
  look(): boolean {
    const now = new Map<string, AnnouncedBy>();
    for (const each of this.#source()) now.set(`${each.way}/${each.address}`, each);
    const isSame = now.size === this.#current.size && now.keys().every((key) => this.#current.has(key));
    if (!isSame) {
      this.#current = now;
      this.#version++;
    }
    return this.#ways.values().some((way) => this.#isBehind(way));
  }

  /** Whether there is more to say to a controller, and no message on its way. */
  hasMore(origin: string): boolean {
    const way = this.#ways.get(origin);
    return way !== undefined && this.#isBehind(way);
  }

  /** The next message to a controller, of which it must be said how it went; null: none now. */
  next(origin: string): Message | null {
    const way: Way = this.#ways.get(origin) ?? { told: null, version: 0, isBusy: false };
    this.#ways.set(origin, way);
    if (way.isBusy || (way.told !== null && way.version === this.#version)) return null;
    way.isBusy = true;
    const told = way.told ?? new Map<string, AnnouncedBy>();
    const gained = missingIn(told, this.#current);
    const lost = missingIn(this.#current, told);
    const isAll = gained.length <= mostAnnounced && lost.length <= mostAnnounced;
    return {
      way,
      announced: {
        isWhole: way.told === null,
        gained: gained.slice(0, mostAnnounced),
        lost: lost.slice(0, mostAnnounced),
      },
      version: isAll ? this.#version : 0,
    };
  }

  /**
   * A controller has answered.
   * @param message null: there was nothing to tell
   * @param knows whether it knows now what we announce. One that does not care is asked again with each answer to a plan
   */
  answered(origin: string, message: Message | null, knows: boolean): void {
    const way = this.#ways.get(origin);
    // What failed beside this message has made it one of a way that is given up.
    if (way === undefined || (message === null ? way.isBusy : way !== message.way)) return;
    if (message !== null) way.isBusy = false;
    if (!knows) {
      way.told = null;
      way.version = message?.announced.isWhole ? this.#version : 0;
    } else if (message !== null) {
      way.told ??= new Map();
      for (const each of message.announced.gained) way.told.set(`${each.way}/${each.address}`, each);
      for (const each of message.announced.lost) way.told.delete(`${each.way}/${each.address}`);
      way.version = message.version;
    }
  }

  /** Nobody knows whether it arrived. */
  failed(origin: string): void {
    this.#ways.delete(origin);
  }

  /** Forgets controllers that are not among these. */
  keep(origins: ReadonlySet<string>): void {
    for (const origin of this.#ways.keys()) if (!origins.has(origin)) this.#ways.delete(origin);
  }

  #isBehind(way: Way): boolean {
    return !way.isBusy && way.version !== this.#version;
  }
}

function missingIn(some: ReadonlyMap<string, AnnouncedBy>, all: ReadonlyMap<string, AnnouncedBy>): AnnouncedBy[] {
  const missing: AnnouncedBy[] = [];
  for (const [key, each] of all) if (!some.has(key)) missing.push(each);
  return missing;
}
