import type { Member } from './member.ts';
import type { Ring } from './ringhash.ts';
import type { Pick, PickFacts } from './types.ts';

/** Keeps the requests of one client on one endpoint. */
export interface Session {
  pick(facts: PickFacts, tried: readonly Pick['endpoint'][], nowMs: number): Pick | null;
}

/** What a session may ask of the backend that it belongs to. */
export interface Choices {
  /** Who can take new requests, or can keep sessions while it goes away. */
  readonly members: readonly Member[];
  /** Everyone whom new requests may go to, healthy or not: sessions that are computed must not move when health does. */
  ring(): Ring;
  /** By the backend's balance, near endpoints first; not one of `tried` while there is another. */
  choose(facts: PickFacts, tried: readonly Pick['endpoint'][], nowMs: number): Member | null;
  /** Who is left out and may be well by now, when everyone else is in `tried`. */
  lastResort(tried: readonly Pick['endpoint'][]): Member | null;
  random(): number;
  /** Milliseconds since 1970. */
  wallMs(nowMs: number): number;
}
