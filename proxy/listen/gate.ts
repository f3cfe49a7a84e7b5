import type { Observer, TurnAwayReason } from '../observe/record.ts';
import { clock, readClock } from './clock.ts';
import type { Limits } from './limits.ts';
import { type PeriodCounts, Pressure } from './pressure.ts';
import type { Shed } from './shedding.ts';
import { type Source, Sources } from './sources.ts';
import { few } from './throttle.ts';

export interface GateOptions {
  readonly limits: Limits;
  readonly observer: Observer;
  /** How many connections there may be. */
  readonly capacity: number;
  /** Descriptors of the sockets that listen. */
  listening(): readonly number[];
  /**
   * Ends some connections that nobody uses, the oldest first, when there is no room for new ones.
   * @returns how many
   */
  makeRoom(): number;
  /**
   * Ends the connection whose protocol has been waited for longest, when there is no room for another one.
   * @param source of which it is to be; null: of anybody
   * @returns false: none has been waited for long
   */
  giveUpHandshake(source: Source | null): boolean;
  /** Memory is short: gives back what is kept for convenience. */
  saveMemory(): void;
  /** What connections hold, in bytes. */
  held(): number;
  readonly shed: Shed;
}

/**
 * Who may connect to this worker. Decided at accept, before a byte is read or a handshake begun, so that turning somebody
 * away costs next to nothing.
 *
 * Without any setting nobody can lock others out: while there is plenty of room everybody takes what they like, but of the
 * last quarter nobody gets more who has an eighth of the whole. Trusted peers stand for many clients and are not measured so.
 */
export class Gate {
  readonly pressure: Pressure;
  readonly #options: GateOptions;
  readonly #sources = new Sources();
  #open = 0;
  #ready = 0;
  /** Connections of TLS listeners. */
  secure = 0;
  #answersLeft = fewAnswers;
  /** Places that connections are leaving, and which are not taken yet. */
  #freed = 0;
  /** Nobody is left to be sent away. */
  #isFreedForNow = false;
  /** In this period. */
  #knocks = 0;
  /** Of these, how many were let in. */
  #letIn = 0;
  /** Turned away in this period because of the throttle. */
  #throttled = 0;

  constructor(options: GateOptions) {
    this.#options = options;
    this.pressure = new Pressure({
      limits: options.limits,
      counts: () => this.#endPeriod(),
      listening: options.listening,
      held: options.held,
      shed: options.shed,
    });
  }

  /**
   * Somebody has connected.
   *
   * @param isTrusted a proxy of our own, which stands for its clients
   * @param isNascent something comes before its protocol, as a handshake does; who needs none takes none of the few that there may be
   * @returns where the connection is counted until `left`, or why it is turned away
   */
  enter(address: string, isTrusted: boolean, isNascent: boolean): Source | TurnAwayReason {
    readClock();
    this.#knocks++;
    const source = this.#sources.knock(address);
    const reason = this.#reasonAgainst(source, isTrusted, isNascent);
    if (reason !== null) {
      this.#options.observer.connectionTurnedAway(reason);
      if (reason === 'overload') this.#throttled++;
      return reason;
    }
    // Who stands for many clients owes nothing for theirs: it may be a client itself, at another port or by a PROXY header.
    if (!isTrusted) this.#owe(source);
    source.connections++;
    this.#open++;
    this.#letIn++;
    return source;
  }

  #owe(source: Source): void {
    const { newConnectionsPerSource } = this.#options.limits;
    if (newConnectionsPerSource > 0)
      source.dueMs = Math.max(source.dueMs, clock.nowMs) + 1000 / newConnectionsPerSource;
  }

  /**
   * A connection that was let in is somebody else's, as a PROXY header told: it is measured and counted by who that is.
   *
   * @param isNascent something else comes before its protocol
   * @returns where it is counted from now on, or why that client may not come
   */
  recount(before: Source, address: string, isTrusted: boolean, isNascent: boolean): Source | TurnAwayReason {
    const source = this.#sources.knock(address);
    // Its peer, by whom it is counted until now, may be that client.
    before.connections--;
    let reason = isTrusted ? null : this.#reasonAgainstOne(source);
    before.connections++;
    // It is one of those itself, and must not give way to itself.
    const isNew = isNascent && !isTrusted && source !== before;
    const isOver = isNew && this.#hasItsHandshakes(source, this.#open - this.#ready - 1);
    if (reason === null && isOver && !this.#options.giveUpHandshake(source)) reason = 'handshakes';
    if (reason !== null) {
      this.#options.observer.connectionTurnedAway(reason);
      return reason;
    }
    if (!isTrusted) this.#owe(source);
    source.connections++;
    this.#sources.left(before);
    return source;
  }

  /** Where connections of a peer are counted while it has one. */
  find(address: string): Source | undefined {
    return this.#sources.get(address);
  }

  /**
   * Somebody broke the rules of HTTP/2. His connection is ended for it, and with TLS the next one costs the worker more than
   * him: who does so again and again, or shares the address of one who does, is let in as a few until he has stopped.
   */
  offended(source: Source): void {
    source.forgivenMs = Math.min(Math.max(source.forgivenMs, clock.nowMs) + offenceMs, clock.nowMs + 2 * toleratedMs);
  }

  /** A connection of it was ended for what it held. */
  shed(source: Source): void {
    source.heavyUntilMs = clock.nowMs + heavyMs;
  }

  /** Whether there is no memory for requests of a peer. */
  lacksMemoryFor(address: string): boolean {
    return this.pressure.isFull && this.#lacksMemoryFor(this.#sources.get(address));
  }

  /** What is left before the limit is for those who have not brought it about. */
  #lacksMemoryFor(source: Source | undefined): boolean {
    return this.pressure.isOut || source === undefined || source.heavyUntilMs > clock.nowMs;
  }

  /** The connection is past its TLS handshake, or needs none. */
  ready(source: Source): void {
    source.ready++;
    this.#ready++;
  }

  /** The end of a connection that was ready. */
  unready(source: Source): void {
    source.ready--;
    this.#ready--;
  }

  /** The end of a connection that was let in. */
  left(source: Source): void {
    this.#open--;
    // Its place is there to be seen, and must not be given away twice.
    if (this.#freed > 0) this.#freed--;
    this.#sources.left(source);
  }

  /** Whether one who is turned away may be told so. A flood is not worth an answer each: closing costs a third of it. */
  mayAnswer(): boolean {
    return this.#answersLeft-- > 0;
  }

  stop(): void {
    this.pressure.stop();
  }

  #reasonAgainst(source: Source, isTrusted: boolean, isNascent: boolean): TurnAwayReason | null {
    const { capacity } = this.#options;
    if (this.pressure.isFull && this.#lacksMemoryFor(source)) return 'memory';
    if (source.fresh > this.pressure.throttle.allowance) return 'overload';
    const reason = isTrusted ? null : this.#reasonAgainstOne(source);
    if (reason !== null) return reason;
    if (this.#open >= capacity && !this.#takeFreed()) return 'full';
    if (!isNascent) return null;
    return this.#mayBegin(source, isTrusted) ? null : 'handshakes';
  }

  /**
   * Where there is no room for another handshake, one that is not getting on makes it. Who has his share makes it himself: others
   * of his address, behind a NAT or a load balancer, may be as many.
   */
  #mayBegin(source: Source, isTrusted: boolean): boolean {
    const { limits, giveUpHandshake } = this.#options;
    const handshakes = this.#open - this.#ready;
    if (!isTrusted && this.#hasItsHandshakes(source, handshakes)) return giveUpHandshake(source);
    return handshakes < limits.handshakes || giveUpHandshake(null);
  }

  /** Of those that lie with him alone. */
  #reasonAgainstOne(source: Source): TurnAwayReason | null {
    if (isOffender(source)) return 'offender';
    const isGreedyOne = isGreedy(source.connections, this.#open, this.#options.capacity);
    return isGreedyOne || this.#isOverItsLimits(source) ? 'source' : null;
  }

  #hasItsHandshakes(source: Source, handshakes: number): boolean {
    const { limits } = this.#options;
    const has = source.connections - source.ready;
    if (limits.handshakesPerSource > 0 && has >= limits.handshakesPerSource) return true;
    return isGreedy(has, handshakes, limits.handshakes);
  }

  /** A place that its connection is leaving. When there is none it is looked for again in the next period only. */
  #takeFreed(): boolean {
    if (this.#freed === 0 && !this.#isFreedForNow) {
      this.#freed = this.#options.makeRoom();
      this.#isFreedForNow = this.#freed === 0;
    }
    if (this.#freed === 0) return false;
    this.#freed--;
    return true;
  }

  /** Limits that somebody has set. */
  #isOverItsLimits(source: Source): boolean {
    const { connectionsPerSource, newConnectionsPerSource } = this.#options.limits;
    if (connectionsPerSource > 0 && source.connections >= connectionsPerSource) return true;
    // A second's worth may come at once.
    return newConnectionsPerSource > 0 && source.dueMs + 1000 / newConnectionsPerSource > clock.nowMs + 1000;
  }

  #endPeriod(): PeriodCounts {
    const { mostFresh } = this.#sources;
    const turnedAway = this.#throttled;
    this.#throttled = 0;
    const knocks = this.#knocks;
    this.#knocks = 0;
    // Of what the worker could do just now: one that has little time has less for answers.
    this.#answersLeft = Math.min(mostAnswers, Math.max(fewAnswers, this.#letIn >> 3));
    this.#letIn = 0;
    this.#freed = 0;
    this.#isFreedForNow = false;
    this.#sources.endPeriod(performance.now());
    if (this.pressure.isTight) this.#options.saveMemory();
    return { mostFresh, turnedAway, knocks, secure: this.secure };
  }
}

/** Answers in a period. The most are 2 % of the worker's time. */
const mostAnswers = 100;
const fewAnswers = 10;

/** An offence weighs as long as this, ms: twenty in a second may be as many as clients of one network do that know no better. */
const offenceMs = 50;
/** What weighs less in all is tolerated, ms: a hundred offences at once. */
const toleratedMs = 5_000;

/** As long as it takes to fill memory anew a few times, ms. */
const heavyMs = 10_000;

/** Whether one is to be let in no more for now. */
function isOffender(source: Source): boolean {
  return source.forgivenMs > clock.nowMs + toleratedMs && source.fresh > few;
}

/** Whether one who asks for more of something scarce has his share. */
function isGreedy(has: number, taken: number, whole: number): boolean {
  return taken >= (whole * 3) / 4 && has >= whole / 8;
}
