import type { AnnouncedBy } from '#table/announced.ts';
import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import { changesOf, type Delta } from '../receive/changes.ts';
import type { Announcer, AnnouncerStatus } from './announcer.ts';
import { ArpSettings } from './arp.ts';
import { Candidates } from './candidates.ts';
import { type Contender, type Decision, decide, type Grade } from './election.ts';
import { Gratuitous } from './gratuitous.ts';
import { Heartbeat } from './heartbeat.ts';
import { Holdings, removeAddresses, renewEveryMs } from './holdings.ts';
import { Lasting } from './lasting.ts';
import { type Layer2Facts, layer2Figures, layer2Problems, layer2Status } from './layer2report.ts';
import { LinkMonitor } from './linkmonitor.ts';
import { type Lease, type Link, linkFor, readLinks } from './links.ts';
import type { AnnounceOptions } from './open.ts';
import { beatMs, type EdgePeer, silenceMs } from './peers.ts';
import type { Target } from './prober.ts';
import { rankOf } from './rank.ts';
import { findRivals } from './rivals.ts';
import { Strays } from './strays.ts';
import { Waiters } from './waiters.ts';
import { atOnce, Wishes } from './wishes.ts';

/**
 * Layer 2: the kernel of one node answers ARP and NDP for an address. Which node that is, every node decides by itself from
 * the plan and from what it hears (election.ts), and none takes an address that is answered for on its segment (prober.ts).
 * The README says why there are never two for longer than a beat.
 */
export class Layer2 implements Announcer {
  readonly #options: AnnounceOptions;
  readonly #candidates = new Candidates();
  readonly #heartbeat: Heartbeat;
  readonly #holdings: Holdings;
  readonly #gratuitous = new Gratuitous();
  readonly #wishes = new Wishes(() => this.#look());
  readonly #monitor = new LinkMonitor(() => void this.#readLinks());
  readonly #strays: Strays;
  /** What this node has, and another should have. */
  readonly #yielding = new Lasting();
  /** What nodes have that are less sure of their plan than this one. */
  readonly #relieving = new Lasting();
  /** Addresses that are on their way into the kernel. */
  readonly #taking = new Set<string>();
  readonly #figures = { takeovers: 0, conflicts: 0, losses: 0 };
  #links: readonly Link[];
  /** Since when each has its carrier, by the clock of the heartbeat. */
  readonly #upSinceMs = new Map<string, number>();
  /** What an earlier agent of this node left in the kernel, until the first plan. */
  #leftovers: { readonly leases: readonly Lease[]; readonly readMs: number } | null;
  /** A plan has come into force: before, addresses are kept that an earlier agent had, and none is taken. */
  #isInForce = false;
  /** When the rules were last in force, by the clock of the heartbeat. */
  #wellMs = 0;
  #ticks = 0;
  #watchMs = 0;
  #renewedMs = 0;
  #isLookDue = false;
  readonly #timer: NodeJS.Timeout;
  readonly #waiters = new Waiters();

  private constructor(
    options: AnnounceOptions,
    heartbeat: Heartbeat,
    links: readonly Link[],
    leases: readonly Lease[],
  ) {
    this.#options = options;
    this.#heartbeat = heartbeat;
    this.#holdings = new Holdings(options.addressLifetimeS, new ArpSettings(options.runDir, options.log), options.log);
    this.#strays = new Strays(options.log);
    this.#links = links;
    this.#leftovers = { leases, readMs: performance.now() };
    this.#timer = setInterval(() => this.#tick(), tickMs);
  }

  static async open(options: AnnounceOptions): Promise<Layer2> {
    const { node, heartbeatPort: port, log } = options;
    const { links, leases } = (await readLinks()) ?? { links: [], leases: [] };
    let onNews = () => {};
    const heartbeat = await Heartbeat.open({ node, port, tickMs, onNews: () => onNews(), log });
    const layer2 = new Layer2(options, heartbeat, links, leases);
    onNews = () => layer2.#lookSoon();
    return layer2;
  }

  async withdraw(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void> {
    this.#candidates.follow(plan, delta);
    this.#heartbeat.follow(plan);
    await this.#adoptLeftovers();
    const held = [...[...this.#holdings.all()].map(({ address }) => address), ...this.#taking];
    const gone = held.filter((address) => this.#candidates.of(address) === null);
    // What is on its way into the kernel is taken out again when it is there.
    const isThere = () => gone.every((address) => !this.#taking.has(address));
    await this.#waiters.wait(isThere, this.#heartbeat.nowMs + sayMs);
    await this.#release(gone);
    this.#look();
    // Its endpoints are about to go from this node: while the rules are there, another takes over.
    const leaving = held.filter((address) => this.#candidates.of(address)?.isLocal && this.#gradeOf(address) === 0);
    const untilMs = this.#heartbeat.nowMs + localHandOverMs;
    await this.#waiters.wait(() => leaving.every((address) => this.#holdings.get(address) === null), untilMs);
  }

  async announce(_plan: EdgePlan, delta: Delta<PlanRows>): Promise<void> {
    this.#isInForce = true;
    this.#wellMs = this.#heartbeat.nowMs;
    this.#look();
    const fresh = [...changesOf(delta, 'address').keys()];
    const isSaid = () => fresh.every((each) => !this.#taking.has(each) && !this.#wishes.isOpen(each));
    await this.#waiters.wait(isSaid, this.#heartbeat.nowMs + sayMs);
  }

  announced(): Iterable<AnnouncedBy> {
    return this.#holdings.announced();
  }

  status(): AnnouncerStatus {
    return layer2Status(this.#facts());
  }

  problems(): readonly Problem[] {
    return layer2Problems(this.#facts());
  }

  figures(): string {
    return layer2Figures(this.#facts());
  }

  /**
   * What this node has stays where it is, until the next agent or a while: the kernel answers and forwards without us, and
   * connections that were made through this node are known to it alone. A node that is about to leave is told so by the plan.
   */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    // What is being asked, or read, looks once more when it is answered.
    this.#isInForce = false;
    this.#wishes.clear();
    this.#monitor.close();
    this.#gratuitous.close();
    await this.#holdings.leave();
    this.#heartbeat.close();
  }

  #tick(): void {
    const stoodMs = this.#heartbeat.tick();
    if (stoodMs > 1_000) this.#options.log.warn({ ms: Math.round(stoodMs) }, 'the agent stood still');
    this.#lost(this.#holdings.expired());
    if (this.#options.unreadyReason() === null) this.#wellMs = this.#heartbeat.nowMs;
    if (this.#ticks++ % ticksPerBeat === 0) this.#say(true);
    const nowMs = performance.now();
    if (nowMs - this.#renewedMs > renewEveryMs(this.#options.addressLifetimeS)) {
      this.#renewedMs = nowMs;
      this.#monitor.ensure();
      void this.#renew();
    }
    this.#look();
    this.#gratuitous.look();
    if (nowMs > this.#watchMs) void this.#watch();
  }

  async #renew(): Promise<void> {
    this.#lost(await this.#holdings.renew());
    await this.#strays.keepTo(this.#heartbeat.linked());
    await this.#readLinks();
  }

  #lost(addresses: readonly string[]): void {
    for (const address of addresses) {
      this.#options.log.warn({ address }, 'the address is lost: it was not renewed in time');
      this.#figures.losses++;
      this.#gratuitous.stop(address);
    }
  }

  async #readLinks(): Promise<void> {
    const read = await readLinks();
    if (read === null) return;
    const before = new Set(this.#links.map(({ name }) => name));
    this.#links = read.links;
    for (const { name } of this.#links) if (!before.has(name)) this.#upSinceMs.set(name, this.#heartbeat.nowMs);
    this.#lookSoon();
  }

  /** What an earlier agent left is ours; also what another should have by now, so that it is handed over. */
  async #adoptLeftovers(): Promise<void> {
    if (this.#leftovers === null) return;
    const { leases, readMs } = this.#leftovers;
    this.#leftovers = null;
    const passedMs = performance.now() - readMs;
    const isOurs = ({ address, link }: Lease) =>
      this.#candidates.of(address) !== null && (this.#targetOf(address)?.link ?? link) === link;
    this.#holdings.adopt(leases.filter(isOurs).map((lease) => ({ ...lease, leftMs: lease.leftMs - passedMs })));
    await removeAddresses(leases.filter((lease) => !isOurs(lease)));
    this.#lost(await this.#holdings.renew());
    for (const target of this.#holdings.all()) this.#gratuitous.start(target);
  }

  #lookSoon(): void {
    if (this.#isLookDue) return;
    this.#isLookDue = true;
    setImmediate(() => {
      this.#isLookDue = false;
      this.#look();
    });
  }

  /** Decides about every address. */
  #look(): void {
    const linked = this.#heartbeat.linked();
    const near = this.#heartbeat.linked(suspectMs);
    const releases: string[] = [];
    const takes: Target[] = [];
    // What was on its way into the kernel when the plan dropped it.
    for (const { address } of this.#holdings.all()) if (this.#candidates.of(address) === null) releases.push(address);
    for (const [address] of this.#candidates.addresses()) {
      if (this.#taking.has(address)) continue;
      const held = this.#holdings.get(address);
      const decision = this.#decide(address, linked);
      if (decision !== 'relieve') this.#relieving.end(address);
      const target = this.#targetOf(address);
      if (held !== null) {
        if (decision === 'release' || this.#mustYield(held, target)) releases.push(address);
      } else if (!this.#isInForce) continue;
      else if (target !== null && decision === 'move') takes.push(target);
      else if (target !== null && decision === 'relieve') {
        if (this.#relieving.note(address, this.#heartbeat.nowMs) > relieveAfterMs) takes.push(target);
      }
      // One that has been silent for a while is not given up yet, but its address is asked for.
      else if (target !== null && (decision === 'take' || this.#decide(address, near) === 'take')) {
        this.#wishes.put(target);
        if (decision === 'take' && this.#wishes.quietOf(address) >= this.#enoughQuiet(target)) takes.push(target);
      } else this.#wishes.drop(address);
    }
    void this.#release(releases);
    if (takes.length > 0) void this.#take(takes);
    this.#say(false);
    this.#waiters.look(this.#heartbeat.nowMs);
  }

  #decide(address: string, peers: readonly EdgePeer[]): Decision {
    const { node } = this.#options;
    const self = { node, rank: rankOf(node, address), grade: this.#gradeOf(address) };
    const holders: Contender[] = [];
    const others: Contender[] = [];
    for (const peer of peers) {
      const claim = peer.claimOf(address);
      if (claim !== null) {
        holders.push({ node: peer.node, rank: rankOf(peer.node, address), grade: claim });
        this.#strays.hear(address, peer.node);
      }
      const contender = this.#contender(peer, address);
      if (contender) others.push(contender);
    }
    return decide({ self, isHeld: this.#holdings.get(address) !== null, others, holders });
  }

  /** null: the plan does not let it, or it has no interface for it. */
  #contender(peer: EdgePeer, address: string): Contender | null {
    const candidate = this.#candidates.of(address)?.candidates.find(({ node }) => node === peer.node);
    if (!candidate || linkFor(address, candidate.ways, peer.links) === null) return null;
    return { node: peer.node, rank: candidate.rank, grade: peer.grade };
  }

  /**
   * How many questions must be unanswered. More where a better node is not heard, which may be about to take it, too, and is
   * not the one that had it. All others must have had the time to be heard since our start; and a switch passes nothing on for
   * a while after a cable is mended, so that silence means nothing then.
   */
  #enoughQuiet({ address, link }: Target): number {
    const linked = new Set(this.#heartbeat.linked().map(({ node }) => node));
    const { candidates } = this.#candidates.of(address) ?? { candidates: [] };
    const unheard = candidates.filter(({ node }) => node !== this.#options.node && !linked.has(node));
    const upForMs = this.#heartbeat.nowMs - (this.#upSinceMs.get(link) ?? silenceMs - settleMs);
    if (unheard.length > 0 && upForMs < settleMs) return Number.POSITIVE_INFINITY;
    const own = rankOf(this.#options.node, address);
    const better = unheard.filter(({ node, rank }) => rank > own && node !== this.#strays.lastHolder(address));
    return enoughQuiet + 3 * Math.min(better.length, 2);
  }

  /** It cannot be answered for here any more; or another should have it, and for a while none has taken it. */
  #mustYield({ address, link }: Target, target: Target | null): boolean {
    if (target?.link === link && this.#ownGrade() > 0) {
      this.#yielding.end(address);
      return false;
    }
    if (!this.#links.some(({ name }) => name === link)) return true;
    if (target !== null && target.link !== link) return true;
    return this.#yielding.note(address, this.#heartbeat.nowMs) > handOverMs;
  }

  async #release(addresses: readonly string[]): Promise<void> {
    if (addresses.length === 0) return;
    for (const address of addresses) {
      this.#gratuitous.stop(address);
      this.#yielding.end(address);
    }
    this.#options.log.info({ addresses: addresses.slice(0, 20), count: addresses.length }, 'addresses given up');
    await Promise.all([this.#strays.release(addresses), this.#holdings.release(addresses)]);
    this.#lookSoon();
  }

  async #take(targets: readonly Target[]): Promise<void> {
    for (const { address } of targets) this.#taking.add(address);
    const networks = this.#links.flatMap((link) => link.networks);
    const addresses = targets.map(({ address }) => address);
    await this.#strays.take(addresses, this.#heartbeat.linked(), networks);
    const taken = new Set(await this.#holdings.take(targets));
    for (const target of targets) {
      this.#taking.delete(target.address);
      this.#wishes.drop(target.address);
      if (!taken.has(target.address)) continue;
      this.#figures.takeovers++;
      this.#gratuitous.start(target);
    }
    if (taken.size > 0) {
      this.#options.log.info({ addresses: [...taken].slice(0, 20), count: taken.size }, 'addresses taken');
    }
    this.#watchMs = 0;
    this.#look();
  }

  /** While somebody who might have our addresses, too, is not heard, looks who else answers for them. */
  async #watch(): Promise<void> {
    this.#watchMs = performance.now() + watchEveryMs;
    const linked = this.#heartbeat.linked();
    if (linked.length === this.#heartbeat.peers.length) return;
    const held = [...this.#holdings.all()].filter(({ address }) => !this.#yielding.has(address));
    const start = (this.#ticks * atOnce) % Math.max(1, held.length);
    const asked = [...held.slice(start), ...held.slice(0, start)].slice(0, atOnce);
    const heard = new Set(linked.flatMap(({ links }) => links.map(({ mac }) => mac)));
    for (const { target, mac, isStronger } of await findRivals(asked, this.#links, heard)) {
      const { address } = target;
      if (this.#holdings.get(address) === null) continue;
      this.#figures.conflicts++;
      this.#options.log.warn({ address, mac, keeps: !isStronger }, 'another answers for an address of ours');
      if (isStronger) await this.#release([address]);
      else this.#gratuitous.start(target);
    }
  }

  #say(isTime: boolean): void {
    const claims = new Map([...this.#holdings.all()].map(({ address }) => [address, this.#gradeOf(address)]));
    this.#heartbeat.say({ grade: this.#ownGrade(), links: this.#links, claims }, isTime);
  }

  #targetOf(address: string): Target | null {
    const own = this.#candidates.of(address)?.candidates.find(({ node }) => node === this.#options.node);
    const link = own ? linkFor(address, own.ways, this.#links) : null;
    return link === null ? null : { address, link: link.name };
  }

  #gradeOf(address: string): Grade {
    return this.#targetOf(address) === null ? 0 : this.#ownGrade();
  }

  /** Rules that are being written anew are no reason to give everything away. */
  #ownGrade(): Grade {
    if (this.#heartbeat.nowMs - this.#wellMs > unfitAfterMs) return 0;
    return this.#options.isPlanLive() ? 2 : 1;
  }

  #facts(): Layer2Facts {
    return {
      node: this.#options.node,
      candidates: this.#candidates,
      heartbeat: this.#heartbeat,
      holdings: this.#holdings,
      wishes: this.#wishes,
      gratuitous: this.#gratuitous,
      figures: this.#figures,
      isWithoutLink: (address) => this.#targetOf(address) === null,
    };
  }
}

const tickMs = 100;
const ticksPerBeat = beatMs / tickMs;
/** Silence after which an address is asked for. */
const suspectMs = 350;
const enoughQuiet = 2;
/** After which a cable that was mended carries packets. */
const settleMs = 2_000;
const watchEveryMs = 2_000;
/** How long a node that should not have an address waits for another to take it. */
const handOverMs = 2_000;
/** Longer than it takes all edges to find controllers again: some hear of them before others, and that moves nothing. */
const relieveAfterMs = 10_000;
const localHandOverMs = 500;
/** How long the beginning of an announcement may keep its plan from being called applied. */
const sayMs = 5_000;
const unfitAfterMs = 2_000;
