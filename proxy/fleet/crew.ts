import type { Log } from '#kit/log.ts';
import type { Listener } from '#table/listener.ts';
import type { BoundAddress } from '../listen/sockets.ts';
import type { WorkerLoad } from '../listen/spreading.ts';
import type { MetricsSnapshot } from '../observe/metrics.ts';
import type { Delta } from '../receive/changes.ts';
import type { AffinityEntry } from '../share/affinity.ts';
import { KnownClients } from './clients.ts';
import type { Doing } from './doing.ts';
import { Member, type MemberExit, WorkerGone, WorkerRefused } from './member.ts';
import type { HealthWord, Tell, WorkerLook, WorkerStart } from './messages.ts';
import { tooMany } from './spread.ts';

export interface CrewOptions {
  readonly size: number;
  readonly start: WorkerStart;
  /** Folder of compiled code (codecache.ts). */
  readonly codeCache: string | null;
  /** How long a worker may leave a question open before it is taken for hung and killed, ms; longer while it lacks a core. */
  readonly answerTimeoutMs: number;
  /** What a process does; null: nobody can tell. */
  doingOf(pid: number): Doing | null;
  readonly log: Log;
  /** The whole table in force and its hash, for a successor; null before the first. */
  whole(): { readonly delta: Delta; readonly hash: string } | null;
  /** Endpoints that probes found unhealthy, for a successor. */
  unhealthy(): readonly HealthWord[];
  /** The last counters of a worker that ended. */
  onLastWords(snapshot: MetricsSnapshot): void;
  /** What a worker remembers of clients; its siblings know already. */
  onAffinity(entries: readonly AffinityEntry[]): void;
}

interface OpenListener {
  readonly listener: Listener;
  readonly bound: readonly BoundAddress[];
  /** Nobody is to listen any more. */
  readonly gone: PromiseWithResolvers<void>;
}

interface Seat {
  readonly index: number;
  member: Member;
  /** Settles when the member has the whole table and listens; rejects when it ended first. */
  ready: Promise<void>;
  isReady: boolean;
  /** It has a ping to answer, or its successor to come: more of them would wait in line. */
  isPinged: boolean;
  /** As it was at the last pulse; null: it has not said. */
  load: WorkerLoad | null;
  /** Ends in a row that came soon after the start. */
  earlyEnds: number;
}

/**
 * The worker processes. Each has a seat; the seat's sockets stay with the primary, so who takes the seat next finds the
 * connections that its predecessor had not accepted.
 */
export class Crew {
  readonly #options: CrewOptions;
  readonly #seats: Seat[] = [];
  readonly #listenersById = new Map<string, OpenListener>();
  readonly #clients = new KnownClients();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #ends = new Set<() => void>();
  readonly #pulse: NodeJS.Timeout;
  #isStopping = false;
  restarts = 0;

  constructor(options: CrewOptions) {
    this.#options = options;
    for (let index = 0; index < options.size; index++) this.#seats.push(this.#seat(index));
    // A worker that hangs keeps its share of the connections waiting, and nothing else would notice.
    this.#pulse = setInterval(() => {
      this.#spread();
      for (const seat of this.#seats) {
        seat.load = null;
        if (!seat.isReady || seat.isPinged) continue;
        seat.isPinged = true;
        this.#atSeat(seat, (member) => this.#ping(seat, member))
          .catch(() => {})
          .finally(() => {
            seat.isPinged = false;
          });
      }
    }, pulseMs);
    this.#pulse.unref();
  }

  /** Answered in line: who hangs over anything else leaves this open, too. A look at each apply cost three times as much as that. */
  async #ping(seat: Seat, member: Member): Promise<void> {
    const heard = this.#watch(member, this.#options.answerTimeoutMs);
    const { load } = await member.ask({ type: 'ping' }).finally(heard);
    if (seat.member === member) seat.load = load ?? null;
  }

  /** By what workers have said at the last pulse. When one has not, its share is not known, and everybody stays. */
  #spread(): void {
    const loads = this.#seats.flatMap(({ load }) => load ?? []);
    if (loads.length < this.#seats.length) return;
    for (const [index, connections] of tooMany(loads).entries()) {
      if (connections > 0) this.#seats[index]?.member.tell({ type: 'spread', connections });
    }
  }

  /** Workers that have the tables in force and listen. */
  get readyCount(): number {
    return this.#seats.reduce((count, seat) => count + (seat.isReady ? 1 : 0), 0);
  }

  get pids(): number[] {
    return this.#seats.map((seat) => seat.member.pid);
  }

  /**
   * Brings a change to every worker and returns when all have it. A worker that ends on the way is replaced; its successor
   * starts with the whole table, the change included.
   * @throws WorkerRefused when a worker could not apply it, or when successors keep ending on it
   */
  async apply(delta: Delta, hash: string): Promise<void> {
    await this.#everywhere((member) => member.apply(delta, hash));
  }

  /** Opens a listener in every worker; sockets[i] of each address is for seat i. */
  async listen(listener: Listener, bound: readonly BoundAddress[]): Promise<void> {
    const open = { listener, bound, gone: Promise.withResolvers<void>() };
    this.#listenersById.set(listener.id, open);
    await this.#everywhere((member, index) => listenOn(member, index, open));
  }

  /** Stops accepting on a listener everywhere. Its connections go on. */
  async unlisten(listenerId: string): Promise<void> {
    const open = this.#listenersById.get(listenerId);
    this.#listenersById.delete(listenerId);
    if (open !== undefined) closeAll(open);
    await this.#everywhere((member) => member.ask({ type: 'unlisten', listenerId }));
  }

  /** Takes what other proxies remember of clients. */
  learn(entries: readonly AffinityEntry[]): void {
    const news = this.#clients.learn(entries);
    if (news.length > 0) this.tell({ type: 'affinity', entries: news });
  }

  tell(message: Tell): void {
    for (const seat of this.#seats) seat.member.tell(message);
  }

  /** Counters of every worker. One that does not answer in time is counted as it was when it last did. */
  async metrics(timeoutMs: number): Promise<MetricsSnapshot[]> {
    await inTime(
      timeoutMs,
      this.#seats.map(({ member }) =>
        member.ask({ type: 'metrics' }).then(
          () => {},
          () => {},
        ),
      ),
    );
    return this.#seats.flatMap(({ member }) => (member.snapshot !== null ? [member.snapshot] : []));
  }

  /** What every worker shows of itself, with endpoints of one backend ('': of none); null: it did not answer in time. */
  async look(
    backendId: string,
    timeoutMs: number,
  ): Promise<{ pid: number; isReady: boolean; look: WorkerLook | null }[]> {
    const looks = this.#seats.map(({ member, isReady }) => ({
      pid: member.pid,
      isReady,
      look: null as WorkerLook | null,
    }));
    const asked = this.#seats.map(async ({ member }, i) => {
      const answer = await member.ask({ type: 'look', backendId }).catch(() => null);
      const place = looks[i];
      if (place !== undefined) place.look = answer?.look ?? null;
    });
    await inTime(timeoutMs, asked);
    return looks;
  }

  /** Ends every worker: no new connections, those in flight get graceMs, then what is left is killed. */
  async stop(graceMs: number): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#pulse);
    for (const timer of this.#timers) clearTimeout(timer);
    for (const open of this.#listenersById.values()) closeAll(open);
    this.#listenersById.clear();
    this.tell({ type: 'drain', graceMs });
    const killer = setTimeout(() => this.#killAll(), graceMs + killAfterMs);
    while (this.#seats.some((seat) => !seat.member.hasExited)) {
      await new Promise<void>((resolve) => this.#ends.add(resolve));
    }
    clearTimeout(killer);
  }

  async #everywhere(work: (member: Member, index: number) => Promise<unknown>): Promise<void> {
    await Promise.all(this.#seats.map((seat) => this.#atSeat(seat, work)));
  }

  async #atSeat(seat: Seat, work: (member: Member, index: number) => Promise<unknown>): Promise<void> {
    const { member } = seat;
    try {
      await work(member, seat.index);
    } catch (error) {
      if (!(error instanceof WorkerGone)) throw error;
      // Who has nothing left to do leaves first. The others go on with what they have, and have to know where it goes.
      if (this.#isStopping) return;
      // What was asked for is part of what the successor starts with.
      await this.#successor(seat, member);
    }
  }

  /**
   * A worker that does not answer in time is killed, unless all that it lacks is a core: its successor would get no more of one.
   * Who turns in a circle has had its time before long. @returns to be called when it has answered
   */
  #watch(member: Member, timeoutMs: number): () => void {
    const { log, doingOf } = this.#options;
    const { pid } = member;
    const before = doingOf(pid);
    let isLastChance = false;
    const look = () => {
      const doing = doingOf(pid);
      const isStarved = doing?.wantsCore === true && doing.cpuMs - (before?.cpuMs ?? 0) < timeoutMs;
      if (!isStarved && isLastChance) {
        log.error({ pid }, 'worker does not answer: killed');
        member.kill();
        return;
      }
      // A machine that slept wakes up with every timer due: what workers have answered is heard before the last word.
      isLastChance = !isStarved;
      watchdog = setTimeout(look, lookAgainMs);
    };
    let watchdog = setTimeout(look, timeoutMs);
    return () => clearTimeout(watchdog);
  }

  async #successor(seat: Seat, predecessor: Member): Promise<void> {
    let last = predecessor;
    for (let tries = 0; tries < maxSuccessors; tries++) {
      while (seat.member === last && !this.#isStopping) await new Promise<void>((resolve) => this.#ends.add(resolve));
      last = seat.member;
      try {
        await seat.ready;
        return;
      } catch (error) {
        if (!(error instanceof WorkerGone)) throw error;
      }
    }
    throw new WorkerRefused(`${maxSuccessors} workers in a row ended while they took the table`);
  }

  #seat(index: number): Seat {
    const seat: Seat = {
      index,
      earlyEnds: 0,
      isReady: false,
      isPinged: false,
      load: null,
      ...this.#recruit(index, () => seat),
    };
    this.#watchReadiness(seat);
    return seat;
  }

  #recruit(index: number, seatOf: () => Seat): Pick<Seat, 'member' | 'ready'> {
    const member = new Member({
      log: this.#options.log,
      codeCache: this.#options.codeCache,
      onAffinity: (entries) => {
        this.#clients.learn(entries);
        for (const seat of this.#seats) {
          if (seat.member !== member) seat.member.tell({ type: 'affinity', entries });
        }
        this.#options.onAffinity(entries);
      },
      onExit: (exit) => this.#ended(seatOf(), exit),
    });
    const asked: Promise<unknown>[] = [member.ask({ type: 'start', start: this.#options.start })];
    const whole = this.#options.whole();
    if (whole !== null) {
      asked.push(member.apply(whole.delta, whole.hash));
      member.tell({ type: 'health', words: this.#options.unhealthy() });
      member.tell({ type: 'affinity', entries: this.#clients.known() });
      for (const open of this.#listenersById.values()) asked.push(listenOn(member, index, open));
    }
    return { member, ready: Promise.all(asked).then(() => {}) };
  }

  #watchReadiness(seat: Seat): void {
    const { member, ready } = seat;
    // Nothing else is asked of it before, so nobody else would notice that it hangs.
    const heard = this.#watch(member, startQuestions * this.#options.answerTimeoutMs);
    ready
      .then(
        () => {
          if (seat.member === member && !member.hasExited) seat.isReady = true;
        },
        (error: Error) => {
          if (!(error instanceof WorkerRefused)) return;
          this.#options.log.error({ pid: member.pid, err: error.message }, 'worker cannot start');
          member.kill();
        },
      )
      .finally(heard);
  }

  #ended(seat: Seat, exit: MemberExit): void {
    const { member } = seat;
    seat.isReady = false;
    seat.load = null;
    if (member.snapshot !== null) this.#options.onLastWords(member.snapshot);
    member.snapshot = null;
    if (this.#isStopping) {
      this.#wake();
      return;
    }
    this.restarts++;
    const livedMs = performance.now() - member.startedMs;
    seat.earlyEnds = livedMs < earlyEndMs ? seat.earlyEnds + 1 : 0;
    // The first successor comes at once; a crash loop must not take the machine.
    const waitMs = seat.earlyEnds < 2 ? 0 : Math.min(100 * 2 ** (seat.earlyEnds - 2), maxBackoffMs);
    this.#options.log.error({ pid: member.pid, ...exit, livedMs: Math.round(livedMs), waitMs }, 'worker ended');
    if (waitMs === 0) this.#replace(seat);
    else this.#replaceIn(seat, waitMs);
  }

  #replaceIn(seat: Seat, waitMs: number): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#replace(seat);
    }, waitMs);
    this.#timers.add(timer);
  }

  #replace(seat: Seat): void {
    try {
      Object.assign(
        seat,
        this.#recruit(seat.index, () => seat),
      );
    } catch (error) {
      // Some of what keeps a process from beginning Node tells later, the rest it throws: ENOMEM is of the rest.
      if ((error as NodeJS.ErrnoException).syscall !== 'spawn') throw error;
      this.#options.log.error({ err: (error as Error).message }, 'worker process');
      this.#replaceIn(seat, spawnAgainMs);
      return;
    }
    this.#watchReadiness(seat);
    this.#wake();
  }

  #wake(): void {
    const waiting = [...this.#ends];
    this.#ends.clear();
    for (const resolve of waiting) resolve();
  }

  #killAll(): void {
    for (const { member } of this.#seats) if (!member.hasExited) member.kill();
  }
}

const pulseMs = 1_000;
const lookAgainMs = 500;
/** A start is more than one question: code to load, a whole table, listeners. */
const startQuestions = 4;
const maxSuccessors = 3;
/** A worker that ends sooner than this after its start is part of a crash loop, ms. */
const earlyEndMs = 10_000;
const maxBackoffMs = 5_000;
const spawnAgainMs = 1_000;
/** What a drained worker gets beyond its grace to leave by itself, ms. */
const killAfterMs = 2_000;

/** Waits for all, but no longer than this. None of them rejects. */
async function inTime(timeoutMs: number, all: readonly Promise<void>[]): Promise<void> {
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, timeoutMs);
  await Promise.race([Promise.all(all), late.promise]);
  clearTimeout(timer);
}

/** The primary's descriptors go first: one that is left would listen on, with nobody who accepts, and keep clients waiting. */
function closeAll({ bound, gone }: OpenListener): void {
  for (const { handles } of bound) for (const handle of handles) handle.close();
  gone.resolve();
}

/** A descriptor that was closed before its turn to be sent came never reaches the worker, which has no answer then. */
async function listenOn(member: Member, index: number, { listener, bound, gone }: OpenListener): Promise<void> {
  const asked = bound.map(({ handles }, part) => member.ask({ type: 'listen', listener, part }, handles[index]));
  await Promise.race([Promise.all(asked), gone.promise]);
}
