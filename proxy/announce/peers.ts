import { randomBytes } from 'node:crypto';
import type { Beat } from './beat.ts';
import type { Grade } from './election.ts';
import type { Link } from './links.ts';

/** What this node says of itself. */
export interface Self {
  readonly grade: Grade;
  readonly links: readonly Link[];
  /** Addresses that it has. */
  readonly claims: ReadonlyMap<string, Grade>;
}

/** Another edge. It counts while it is heard and hears us; else nothing is known of it. */
export class EdgePeer {
  readonly node: string;
  /** Where it is sent to; null: its Node names no address. */
  address: string | null = null;
  boot = '';
  /** The newest that was heard of it, and sent to it. */
  sequence = 0;
  sent: number;
  /** Times of what was sent to it, by sequence; as many as are asked for. */
  readonly sentMs: number[] = [];
  heardMs = Number.NEGATIVE_INFINITY;
  grade: Grade = 0;
  links: readonly Link[] = [];
  readonly #claims = new Map<string, { version: number; grade: Grade }>();
  /** Of its claims; and of ours, the newest that it was sent. */
  version = -1;
  versionSent = -1;
  readonly #pages = new Set<number>();

  /** @param sent where its count begins */
  constructor(node: string, sent: number) {
    this.node = node;
    this.sent = sent;
  }

  /** What it says that it has, and how good it is for that. */
  claimOf(address: string): Grade | null {
    return this.#claims.get(address)?.grade ?? null;
  }

  /** Claims of an older version stay until all pages of the new one are here. */
  take({ version, page, pages, claims }: Beat): void {
    if (version !== this.version) {
      this.version = version;
      this.#pages.clear();
    }
    for (const [address, grade] of claims) this.#claims.set(address, { version, grade });
    if (this.#pages.size >= pages) return;
    this.#pages.add(page);
    if (this.#pages.size < pages) return;
    for (const [address, claim] of this.#claims) if (claim.version !== version) this.#claims.delete(address);
  }

  forget(): void {
    this.#claims.clear();
    this.version = -1;
  }
}

/**
 * The edges that this one speaks with. A beat counts when it says that its sender has heard us a moment ago: so hearing is
 * mutual, and no record of former beats is taken for a new one, whichever life it is of.
 */
export class Peers {
  readonly #node: string;
  readonly #boot = randomBytes(12).toString('base64');
  readonly #peers = new Map<string, EdgePeer>();
  #version = 0;
  /** The highest of all: one that goes and comes back must not be counted for from 1, which to it is long past. */
  #sent = 0;
  #claims: ReadonlyMap<string, Grade> = new Map();

  constructor(node: string) {
    this.#node = node;
  }

  /** @param addresses of the nodes that are spoken with, by name */
  follow(addresses: ReadonlyMap<string, string | null>): void {
    for (const name of this.#peers.keys()) if (!addresses.has(name)) this.#peers.delete(name);
    for (const [name, address] of addresses) {
      const peer = this.#peers.get(name) ?? new EdgePeer(name, this.#sent);
      peer.address = address;
      this.#peers.set(name, peer);
    }
  }

  all(): readonly EdgePeer[] {
    return [...this.#peers.values()];
  }

  /** Those that are heard and hear us. @param nowMs of the clock that beats are counted by */
  linked(nowMs: number, withinMs: number): EdgePeer[] {
    return [...this.#peers.values()].filter(({ heardMs }) => nowMs - heardMs <= withinMs);
  }

  /** What is to be sent to a peer now: one page of the claims, or all of them when they are new to it. */
  beatsFor(peer: EdgePeer, self: Self, nowMs: number): Beat[] {
    if (!isSame(this.#claims, self.claims)) {
      this.#claims = new Map(self.claims);
      this.#version++;
    }
    const claims = [...this.#claims];
    const pages = Math.max(1, Math.ceil(claims.length / claimsPerPage));
    const isNew = peer.versionSent !== this.#version;
    peer.versionSent = this.#version;
    const wanted = isNew ? Array.from({ length: pages }, (_, page) => page) : [peer.sent % pages];
    return wanted.map((page) => {
      const sequence = ++peer.sent;
      this.#sent = Math.max(this.#sent, sequence);
      peer.sentMs[sequence % rememberedBeats] = nowMs;
      return {
        from: this.#node,
        to: peer.node,
        boot: this.#boot,
        sequence,
        heard: peer.boot === '' ? null : { boot: peer.boot, sequence: peer.sequence },
        grade: self.grade,
        links: self.links.map(({ name, mac, networks }) => ({ name, mac, networks: [...networks] })),
        version: this.#version,
        page,
        pages,
        claims: claims.slice(page * claimsPerPage, (page + 1) * claimsPerPage),
      };
    });
  }

  /** @returns whether it told something that an election depends on */
  take(beat: Beat, nowMs: number): boolean {
    const peer = beat.to === this.#node ? this.#peers.get(beat.from) : undefined;
    if (peer === undefined) return false;
    const isKnown = beat.boot === peer.boot;
    if (isKnown && beat.sequence <= peer.sequence) return false;
    const wasLinked = nowMs - peer.heardMs <= silenceMs;
    const isAnswer = beat.heard?.boot === this.#boot && this.#isRecent(peer, beat.heard.sequence, nowMs);
    // Somebody who has not heard us yet is answered, so that it can; not while the one that we know is there.
    if (!isKnown && wasLinked && !isAnswer) return false;
    if (!isKnown) peer.forget();
    peer.boot = beat.boot;
    peer.sequence = beat.sequence;
    if (!isAnswer) return false;
    peer.heardMs = nowMs;
    const before = [peer.grade, peer.version, peer.links];
    peer.grade = beat.grade;
    peer.links = beat.links;
    peer.take(beat);
    return !wasLinked || JSON.stringify(before) !== JSON.stringify([peer.grade, peer.version, peer.links]);
  }

  #isRecent(peer: EdgePeer, sequence: number, nowMs: number): boolean {
    if (sequence > peer.sent || sequence <= peer.sent - rememberedBeats) return false;
    return nowMs - (peer.sentMs[sequence % rememberedBeats] ?? Number.NEGATIVE_INFINITY) <= answerMs;
  }
}

/** How often it is said that one lives, and after how long of nothing one is thought away. */
export const beatMs = 200;
export const silenceMs = 3 * beatMs;

/** Within which what was sent is answered: by a beat that follows it, of one that may be late. */
const answerMs = 2 * silenceMs;
const rememberedBeats = 64;
/** So that a beat fits into one frame. */
const claimsPerPage = 24;

function isSame(a: ReadonlyMap<string, Grade>, b: ReadonlyMap<string, Grade>): boolean {
  return a.size === b.size && [...a].every(([address, grade]) => b.get(address) === grade);
}
