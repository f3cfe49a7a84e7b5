import { assertNever } from '#kit/assert.ts';
import type { Backend, Endpoint } from '#table/backend.ts';
import type { AffinityMemory } from '../share/affinity.ts';
import { Circuit } from './circuit.ts';
import { clientIp } from './clientip.ts';
import { isCookieName } from './cookie.ts';
import type { EjectionWord, EndpointLook, EndpointUser, LiveEndpoint } from './endpoint.ts';
import { expectedWaitMs } from './ewma.ts';
import { hashText } from './hash.ts';
import { hashKey } from './hashkey.ts';
import type { Balancer, Member, Pool } from './member.ts';
import { markUsable, renewMembers, tierOf } from './members.ts';
import { betterOfTwo, requestsInFlight } from './p2c.ts';
import { drawRing, findOnRing, type Ring } from './ringhash.ts';
import { roundRobin } from './roundrobin.ts';
import type { Choices, Session } from './session.ts';
import { warmAtMs } from './slowstart.ts';
import { balancedCookie, persistentCookie } from './sticky.ts';
import { SuccessRates } from './successrate.ts';
import type { EndpointState, Pick, PickFacts } from './types.ts';
import { nearby, type Place } from './zone.ts';

/** What all backends of a worker share. */
export interface Surroundings {
  readonly place: Place;
  readonly random: () => number;
  readonly memory: AffinityMemory;
  /** Milliseconds since 1970 at nowMs 0. */
  readonly wallOriginMs: () => number;
  readonly onEject: (word: EjectionWord) => void;
  /** The fleet's key; without it no cookie can be keyed, and none is issued. */
  affinityKey: Uint8Array | null;
}

type RingBalance = Extract<Backend['balance'], { algorithm: 'ring-hash' }>;

/** One backend's endpoints, and the choice among them. */
export class BackendPicker implements EndpointUser, Choices {
  row: Backend;
  readonly circuit: Circuit;
  members: readonly Member[] = [];
  readonly #around: Surroundings;
  /** Key → uid of the pod that was probed. */
  readonly #unhealthy = new Map<string, string>();
  #tier: readonly Member[] = [];
  #near: readonly Member[] = [];
  #usable: readonly Member[] = [];
  #balancer: Balancer | null = null;
  #ring: Ring | null = null;
  #isRingDrawn = false;
  #session: Session | null = null;
  readonly #rates = new SuccessRates();
  /** What depends on health and ejection must be worked out again from then on. */
  #staleAtMs = Number.NEGATIVE_INFINITY;

  constructor(row: Backend, around: Surroundings) {
    this.row = row;
    this.circuit = new Circuit(row.circuit);
    this.#around = around;
  }

  get id(): string {
    return this.row.id;
  }

  get outlier(): Backend['outlier'] {
    return this.row.outlier;
  }

  /** Takes a new row, new endpoints or a new affinity key. */
  renew(row: Backend, rows: Iterable<{ state: LiveEndpoint; row: Endpoint }>, nowMs: number): void {
    this.row = row;
    this.circuit.limits = row.circuit;
    for (const member of this.members) member.state.leftBy(this);
    this.members = renewMembers(this.members, rows, nowMs);
    for (const member of this.members) member.state.usedBy(this);
    this.#forgetHealth();
    this.#tier = tierOf(this.members);
    this.#isRingDrawn = false;
    this.#refresh(nowMs);
    this.#session = this.#openSession();
    this.circuit.roomGrew();
  }

  /**
   * The backend is gone: its endpoints forget it, and it forgets them. Requests that began before may still ask for another try, when
   * these addresses have long been given to somebody else's pods.
   */
  leave(): void {
    for (const member of this.members) member.state.leftBy(this);
    this.members = this.#tier = [];
    this.#session = null;
    this.circuit.isGone = true;
    this.invalidate();
  }

  invalidate(): void {
    this.#staleAtMs = Number.NEGATIVE_INFINITY;
  }

  uses(endpoint: LiveEndpoint, nowMs: number): boolean {
    if (nowMs >= this.#staleAtMs) this.#refresh(nowMs);
    return this.members.some(({ state, isUsable }) => state === endpoint && isUsable);
  }

  /**
   * Of those that are probed no more, as the same rows say to the prober. It tells nothing of them: its word would be here before
   * the rows are, and bring requests to who is known to be ill.
   */
  #forgetHealth(): void {
    if (this.#unhealthy.size === 0) return;
    const probed = this.row.healthCheck === null ? [] : this.members.filter(({ row }) => row.ready || row.serving);
    const uidsByKey = new Map(probed.map(({ state, row }) => [state.key, row.uid]));
    for (const [key, uid] of this.#unhealthy) if (uidsByKey.get(key) !== uid) this.#unhealthy.delete(key);
  }

  /** Takes the result of active probing; of endpoints that are not ours, or when the row asks for no probes, nothing. */
  setHealth(key: string, isHealthy: boolean, nowMs: number): void {
    const member = this.row.healthCheck === null ? undefined : this.members.find(({ state }) => state.key === key);
    if (member === undefined) return;
    if (isHealthy) {
      this.#unhealthy.delete(key);
      member.state.readmit(nowMs);
    } else {
      this.#unhealthy.set(key, member.row.uid);
    }
    this.invalidate();
  }

  /** What is known of its endpoints, for people. Who is used for want of others, whatever it did, is not left out. */
  look(nowMs: number): EndpointLook[] {
    if (nowMs >= this.#staleAtMs) this.#refresh(nowMs);
    return this.members.map(({ state, isUsable }) => {
      const look = state.look(nowMs);
      return isUsable ? { ...look, leftOutMs: 0 } : look;
    });
  }

  pick(facts: PickFacts, tried: readonly EndpointState[], nowMs: number): Pick | null {
    if (nowMs >= this.#staleAtMs) this.#refresh(nowMs);
    if (this.#session !== null) return this.#session.pick(facts, tried, nowMs);
    const member = this.choose(facts, tried, nowMs);
    return member === null ? null : member.state.plainPick;
  }

  choose(facts: PickFacts, tried: readonly EndpointState[], nowMs: number): Member | null {
    if (this.#balancer === null) return null;
    const { balance } = this.row;
    const hash = balance.algorithm === 'ring-hash' ? this.#hashOf(balance, facts) : null;
    if (hash !== null) return this.#chooseByHash(balance as RingBalance, hash, tried);
    // A retry takes no turn: of two endpoints of which one fails, that would have the first try of every request.
    if (tried.length > 0 && balance.algorithm === 'round-robin') {
      return this.#untried(tried) ?? this.lastResort(tried) ?? this.#balancer.next(nowMs);
    }
    let member = this.#balancer.next(nowMs);
    if (tried.length === 0) return member;
    for (let draws = 0; draws < 4 && tried.includes(member.state); draws++) member = this.#balancer.next(nowMs);
    return tried.includes(member.state) ? (this.#untried(tried) ?? this.lastResort(tried) ?? member) : member;
  }

  ring(): Ring {
    if (this.#ring === null || !this.#isRingDrawn) {
      this.#ring = drawRing(this.#tier, this.#ring);
      this.#isRingDrawn = true;
    }
    return this.#ring;
  }

  /**
   * Those who are in have just failed, and whoever is out may have been back for long: two pods that restart one after the
   * other lost every request of the second one's restart, though the first one stood ready.
   */
  lastResort(tried: readonly EndpointState[]): Member | null {
    let first: Member | null = null;
    for (const member of this.#tier) {
      const { state } = member;
      if (tried.includes(state) || this.#unhealthy.has(state.key)) continue;
      if (member.isUsable) return null;
      if (first === null || state.ejection.untilMs < first.state.ejection.untilMs) first = member;
    }
    return first;
  }

  random(): number {
    return this.#around.random();
  }

  wallMs(nowMs: number): number {
    return this.#around.wallOriginMs() + nowMs;
  }

  #hashOf(balance: RingBalance, facts: PickFacts): number | null {
    const key = hashKey(balance.parts, facts);
    return key === '' ? null : hashText(key, 5);
  }

  /**
   * The key's own endpoint, or one of the first few on the ring when the row asks for a subset. A retry that has tried these goes
   * on along the ring: those that share a key are wanted together, not instead of an answer.
   */
  #chooseByHash(balance: RingBalance, hash: number, tried: readonly EndpointState[]): Member | null {
    const ring = this.ring();
    const subset = balance.subsetSize > 1 ? this.#subsetOf(hash, balance.subsetSize) : [];
    if (subset.length > 0) {
      const untried = tried.length === 0 ? subset : subset.filter((member) => !tried.includes(member.state));
      if (untried.length > 0) return this.#anyOf(untried);
    }
    const untried = findOnRing(ring, hash, (member) => member.isUsable && !tried.includes(member.state));
    const next = untried ?? this.lastResort(tried);
    if (next !== null) return next;
    return subset.length > 0 ? this.#anyOf(subset) : findOnRing(ring, hash, (member) => member.isUsable);
  }

  /** Those of whom a key has so many. All of them are not looked for: the last of thousands may be far along the ring. */
  #subsetOf(hash: number, size: number): readonly Member[] {
    if (size >= this.#usable.length) return this.#usable;
    const subset = new Set<Member>();
    findOnRing(this.ring(), hash, (member) => member.isUsable && subset.add(member).size >= size);
    return [...subset];
  }

  #anyOf(members: readonly Member[]): Member | null {
    return members[Math.floor(this.random() * members.length)] ?? null;
  }

  /** Any usable endpoint that was not tried, near ones first. */
  #untried(tried: readonly EndpointState[]): Member | undefined {
    for (const members of [this.#near, this.#tier]) {
      const start = Math.floor(this.random() * members.length);
      for (let step = 0; step < members.length; step++) {
        const member = members[(start + step) % members.length] as Member;
        if (member.isUsable && !tried.includes(member.state)) return member;
      }
    }
    return undefined;
  }

  #refresh(nowMs: number): void {
    this.#compareRates(nowMs);
    const returnMs = markUsable(this.members, this.#tier, this.row, this.#unhealthy, nowMs);
    this.#staleAtMs = Math.min(returnMs, this.#rates.endsAtMs);
    this.#usable = this.#tier.filter((member) => member.isUsable);
    this.#near = nearby(this.#usable, this.row.prefer, this.#around.place);
    this.#balancer = this.#near.length === 0 ? null : this.#openBalancer(this.#near);
  }

  /** At the end of an interval those that stand out are ejected, and the next one begins. */
  #compareRates(nowMs: number): void {
    const settings = this.row.outlier.successRate;
    if (settings === null) {
      this.#rates.endsAtMs = Number.POSITIVE_INFINITY;
      return;
    }
    const hasBegun = this.#rates.endsAtMs !== Number.POSITIVE_INFINITY;
    // The interval was made shorter: what has begun by the old one may have hours to go.
    if (hasBegun) this.#rates.endsAtMs = Math.min(this.#rates.endsAtMs, nowMs + settings.intervalMs);
    if (hasBegun && nowMs < this.#rates.endsAtMs) return;
    const endpoints = this.#tier.map(({ state }) => state);
    const isJudged = hasBegun && this.row.outlier.maxEjectedPercent > 0;
    const outliers = isJudged ? this.#rates.outliers(endpoints, settings, nowMs) : [];
    this.#rates.begin(endpoints, settings, nowMs);
    for (const each of outliers) each.eject(this, 'success-rate', nowMs);
    for (const each of outliers) each.tellOfEjection(this, 'success-rate', nowMs);
  }

  #openBalancer(members: readonly Member[]): Balancer {
    const { random } = this.#around;
    const { slowStartMs, balance } = this.row;
    const pool: Pool = { members, slowStartMs, warmAtMs: warmAtMs(members, slowStartMs) };
    switch (balance.algorithm) {
      case 'round-robin':
        return roundRobin(pool, random);
      case 'least-request':
      // Requests without a hash key are spread.
      case 'ring-hash':
        return betterOfTwo(pool, requestsInFlight, random);
      case 'ewma':
        return betterOfTwo(pool, expectedWaitMs, random);
      default:
        return assertNever(balance, 'balance');
    }
  }

  #openSession(): Session | null {
    const { affinity } = this.row;
    if (affinity === null || this.members.length === 0) return null;
    const { affinityKey, memory } = this.#around;
    if (affinity.type === 'client-ip') {
      const timeoutMs = affinity.timeoutSeconds * 1000;
      return clientIp({ backendId: this.row.id, timeoutMs, key: affinityKey, memory }, this);
    }
    if (affinityKey === null || !isCookieName(affinity.name)) return null;
    const open = affinity.mode === 'persistent' ? persistentCookie : balancedCookie;
    return open(affinity, affinityKey, this);
  }
}
