import { execFile } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Log } from '#kit/log.ts';
import { reasonOf } from '#kit/reason.ts';
import type { AnnouncedBy } from '#table/announced.ts';
import type { EdgePlan, PlanRows } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { Announcer, AnnouncerStatus } from '../announce/announcer.ts';
import type { Delta } from '../receive/changes.ts';
import { Bird } from './bird.ts';
import { figuresText, type SpeakerFigures } from './figures.ts';
import { files, promote, stage } from './files.ts';
import { restartDelayMs } from './peers.ts';
import { speakProblem } from './problems.ts';
import { addressesOf, waysOf } from './routes.ts';
import { Sessions } from './sessions.ts';
import { isAboutRoutes, isSame, lessOf, type Speech, silence, speechOf } from './speech.ts';
import { pathsOf, sessionsOf } from './states.ts';

export interface SpeakerOptions {
  /** Name of the node that this is. */
  readonly node: string;
  /** Folder of BIRD's files and its socket, which lasts as long as the machine runs. */
  readonly dir: string;
  readonly log: Log;
}

/**
 * Announces addresses by BGP: what the plan says becomes files of BIRD, which checks them and goes by them. Where the plan has no
 * peer for the node, no BIRD runs. BIRD goes on when the agent ends, and the next agent finds it.
 */
export class Speaker implements Announcer {
  readonly #options: SpeakerOptions;
  readonly #bird: Bird;
  readonly #sessions = new Sessions();
  readonly #figures: SpeakerFigures = { configures: 0, configureMs: 0, refusals: 0 };
  readonly #tick: NodeJS.Timeout;
  #plan: EdgePlan | null = null;
  /** What BIRD goes by, or is started with. */
  #said: Speech = silence;
  /** What it could not be told yet; null: it knows all. */
  #unsaid: Speech | null = null;
  #heard: { speech: Speech; upIds: readonly string[]; announced: readonly AnnouncedBy[] } | null = null;
  #unusable: readonly Problem[] = [];
  /** Why BIRD did not take the newest; null: it did. */
  #refusal: string | null = null;
  #turn: Promise<void> = Promise.resolve();

  constructor(options: SpeakerOptions) {
    this.#options = options;
    this.#bird = new Bird({
      dir: options.dir,
      onUp: () => this.#inTurn(() => this.#afterStart()),
      restartDelayMs: () => restartDelayMs((this.#unsaid ?? this.#said).neighbours),
      log: options.log,
    });
    this.#tick = setInterval(() => this.#inTurn(() => this.#upkeep()), lookEveryMs);
  }

  async withdraw(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void> {
    if (!this.#isTouchedBy(delta)) return;
    const less = lessOf(this.#said, speechOf(plan, this.#options.node).speech);
    if (less === null) return;
    await this.#inTurn(() => this.#say(less));
    // BIRD has answered before a router has heard.
    if (this.#said === less && this.#said.neighbours.some((each) => this.#sessions.isUp(each))) await sleep(settleMs);
  }

  async announce(plan: EdgePlan, delta: Delta<PlanRows>): Promise<void> {
    const isFirst = this.#plan === null;
    // The first plan of all is taken back, and the rules of an agent before stay: so does what its BIRD says.
    if (isFirst && delta.deletes.length > 0) return;
    this.#plan = plan;
    if (!isFirst && !this.#isTouchedBy(delta)) return;
    const { speech, problems } = speechOf(plan, this.#options.node);
    this.#unusable = problems;
    await this.#inTurn(() => this.#say(speech, isFirst));
  }

  /** What a router hears: where no session is up, nobody does. */
  announced(): readonly AnnouncedBy[] {
    const plan = this.#plan;
    const upIds = this.#said.neighbours.filter((each) => this.#sessions.isUp(each)).map(({ row }) => row.id);
    if (plan === null || !this.#bird.isUp || upIds.length === 0) return [];
    // Most of the time it is what it was, and there may be tens of thousands.
    if (this.#heard?.speech !== this.#said || this.#heard.upIds.join() !== upIds.join()) {
      const addresses = addressesOf(plan, this.#options.node, upIds);
      const announced = addresses.map((address) => ({ way: 'bgp' as const, address }));
      this.#heard = { speech: this.#said, upIds, announced };
    }
    return this.#heard.announced;
  }

  status(): AnnouncerStatus {
    const { neighbours } = this.#said;
    const peerIds = neighbours.map(({ row }) => row.id);
    const plan = this.#plan;
    const addresses = [...(plan?.address.values() ?? [])].flatMap((row) => {
      const ways = plan === null ? 'not by BGP' : waysOf(plan, this.#options.node, peerIds, row);
      if (ways === 'not by BGP') return [];
      if (typeof ways === 'string') return [{ address: row.id, isAnnounced: false, detail: ways }];
      const detail = ways.map((way) => `${way.prefix} to ${way.peerIds.join(', ')}`).join('; ');
      return [{ address: row.id, isAnnounced: this.#bird.isUp, detail }];
    });
    return { way: 'bgp', addresses, peers: neighbours.map((each) => this.#sessions.statusOf(each)) };
  }

  problems(): readonly Problem[] {
    const { node } = this.#options;
    const source = { kind: 'Edge', namespace: '', name: node };
    const problems = [...this.#unusable];
    const { downReason } = this.#bird;
    if (downReason !== null) problems.push(speakProblem('BirdNotRunning', source, { node, reason: downReason }));
    if (this.#refusal !== null) problems.push(speakProblem('BirdRefused', source, { node, reason: this.#refusal }));
    if (!this.#bird.isUp) return problems;
    return [...problems, ...this.#said.neighbours.flatMap((each) => this.#sessions.problemsOf(each, node))];
  }

  figures(): string {
    return figuresText(this.#figures, this.#bird, this.#said.neighbours, this.#sessions);
  }

  async stop(): Promise<void> {
    clearInterval(this.#tick);
    await this.#turn;
    this.#bird.leave();
  }

  /** Also what is yet to be said: it would be said as it was. */
  #isTouchedBy(delta: Delta<PlanRows>): boolean {
    return isAboutRoutes(delta, this.#said) || (this.#unsaid !== null && isAboutRoutes(delta, this.#unsaid));
  }

  /** @param isFirst whether BIRD may go by what an earlier agent told it */
  async #say(speech: Speech, isFirst = false): Promise<void> {
    const isKnown = isSame(speech.configuration, this.#said.configuration) && this.#unsaid === null;
    if (isFirst) await this.#bird.find();
    else if (isKnown) {
      this.#said = speech;
      return;
    }
    this.#unsaid = speech;
    if (speech.neighbours.length === 0) await this.#bird.end();
    else if (!(await this.#configure(speech))) return;
    this.#said = speech;
    this.#unsaid = null;
    this.#refusal = null;
    await this.#look();
  }

  /** Checked before it is in force: what BIRD refuses must not be what it is started with. */
  async #configure({ configuration }: Speech): Promise<boolean> {
    const { dir, log } = this.#options;
    const startMs = performance.now();
    await stage(dir, configuration);
    const refusal = await this.#check();
    if (refusal !== null) {
      if (refusal !== this.#refusal)
        log.error({ err: refusal }, 'BIRD refuses its configuration; the one before stays');
      this.#refusal = refusal;
      this.#figures.refusals++;
      return false;
    }
    await promote(dir, configuration);
    if (this.#bird.isUp) await this.#bird.ask('configure');
    else await this.#bird.keep();
    this.#figures.configures++;
    this.#figures.configureMs += performance.now() - startMs;
    return true;
  }

  /** @returns what is wrong with what was staged; null: nothing */
  async #check(): Promise<string | null> {
    if (this.#bird.isUp) {
      const { code, lines } = await this.#bird.ask(`configure check "${files.nextMain}"`);
      return code < firstFailure ? null : (lines.at(-1)?.text ?? `code ${code}`);
    }
    return checkAlone(this.#options.dir);
  }

  /** It was started by files that may be older than those that are there now. */
  async #afterStart(): Promise<void> {
    await this.#bird.ask('configure');
    await this.#look();
  }

  async #look(): Promise<void> {
    if (!this.#bird.isUp) return;
    const sessions = sessionsOf(await this.#bird.ask('show protocols all'));
    const isWatching = this.#said.neighbours.some(({ row }) => row.bfd !== null);
    this.#sessions.note(sessions, isWatching ? pathsOf(await this.#bird.ask('show bfd sessions')) : new Map());
  }

  /** Every so often: what could not be said is tried again, and a BIRD that hangs is found out. */
  async #upkeep(): Promise<void> {
    if (this.#unsaid !== null) await this.#say(this.#unsaid);
    else await this.#look();
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(work).catch((error) => {
      this.#options.log.warn({ err: reasonOf(error) }, 'BIRD could not be told; it is tried again');
    });
    return this.#turn;
  }
}

/** Replies from here on are refusals. */
const firstFailure = 8_000;
const lookEveryMs = 2_000;
/** How much longer than their routes rules stay: a router takes a moment to hear, and to believe. */
const settleMs = 50;

/** The same check where no BIRD runs. A BIRD that is missing refuses nothing. */
async function checkAlone(dir: string): Promise<string | null> {
  try {
    await promisify(execFile)('bird', ['-p', '-c', files.nextMain], { cwd: dir, timeout: 10_000 });
    return null;
  } catch (error) {
    const { code, stderr = '' } = error as { code?: number | string; stderr?: string };
    return typeof code === 'number' ? (stderr.trim().split('\n').at(-1) ?? `bird -p ended with ${code}`) : null;
  }
}
