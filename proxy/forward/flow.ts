import type { Source } from '#table/problem.ts';
import { clock } from '../listen/clock.ts';
import type { CompiledL4Route } from '../match/l4matcher.ts';
import { draw } from '../match/weighted.ts';
import type { FlowRecord, ResponseFlag } from '../observe/record.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState, PickFacts, TryResult } from '../select/types.ts';
import type { Engine } from './engine.ts';
import { type Failure, failures } from './failures.ts';

/** Where a connection or flow comes from and what it was sent to: as its socket says, or as a PROXY header does. */
export interface Origin {
  readonly address: string;
  readonly port: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** By a PROXY header. */
  readonly isTold: boolean;
  /** The client came by TLS, which ended before us. */
  readonly wasTls: boolean;
}

/**
 * A client's bytes that nobody reads, on their way to one endpoint and back: what a TCP connection and a UDP flow have in
 * common. Match and select are those of requests, and what is told at the end is, too.
 */
export abstract class Flow implements FlowRecord, PickFacts {
  abstract readonly protocol: 'TCP' | 'UDP';
  readonly origin: Origin;
  readonly serverName: string;
  readonly route: CompiledL4Route | null;
  backend: LiveBackend | null = null;
  endpoint: EndpointState | null = null;
  startMs: number;
  durationMs = 0;
  answerMs = -1;
  flag: ResponseFlag = '-';
  bytesReceived = 0;
  bytesSent = 0;
  upstreamHost = '';
  tries = 0;
  protected readonly engine: Engine;
  protected readonly startedAtMs: number;
  protected readonly tried: EndpointState[] = [];
  protected tryStartedMs = 0;
  #isOver = false;

  /** @param route null: none takes it, and it will be refused */
  constructor(engine: Engine, route: CompiledL4Route | null, origin: Origin, serverName: string) {
    this.engine = engine;
    this.route = route;
    this.origin = origin;
    this.serverName = serverName;
    this.startedAtMs = clock.nowMs;
    this.startMs = clock.wallOriginMs + clock.nowMs;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** It is told with what went before it. */
  tellFrom(sinceMs: number): void {
    this.durationMs = this.startedAtMs - sinceMs;
    this.startMs -= this.durationMs;
  }

  /** Draws the backend, once. @returns false when nothing can be forwarded; the flag says why */
  protected chooseBackend(): boolean {
    if (this.route === null) return this.#cannot('NR');
    if (this.route.isAdmitted?.(this.origin.address) === false) return this.#cannot('AD');
    const drawn = draw(this.route.backends, Math.random);
    const backend = drawn === null ? undefined : this.engine.tables.backend(drawn.backendId);
    if (backend === undefined) return this.#cannot('NE');
    this.backend = backend;
    if (backend.row.broken !== null) return this.#cannot('BR');
    this.engine.budget.deposit(clock.nowMs);
    return true;
  }

  /**
   * An endpoint for the next try, other than those that failed if there is one; null when there is none, and the flag says why.
   * @param failure of the try before, which costs a place in the budget; null: there was none
   */
  protected nextEndpoint(failure: Failure | null): EndpointState | null {
    const { circuit } = (this.backend as LiveBackend).state;
    const pick = circuit.isFull('connections')
      ? null
      : (this.backend as LiveBackend).state.pick(this, this.tried, clock.nowMs);
    if (pick === null) {
      this.flag = circuit.isFull('connections') ? 'UO' : 'NE';
      return null;
    }
    const { endpoint } = pick;
    if (failure !== null && !this.#isFree(failure, endpoint) && !this.engine.budget.withdraw(clock.nowMs)) {
      this.flag = failure.flag;
      return null;
    }
    endpoint.started();
    circuit.connections++;
    this.endpoint = endpoint;
    this.upstreamHost = endpoint.key;
    this.tries++;
    this.tryStartedMs = clock.nowMs;
    return endpoint;
  }

  /** The endpoint has taken the connection, or answered. It is told at once, because a flow may stay for days. */
  protected gotAnswer(): void {
    this.answerMs = clock.nowMs - this.tryStartedMs;
    outcome.result = 'success';
    outcome.startedMs = this.tryStartedMs;
    outcome.nowMs = clock.nowMs;
    outcome.latencyMs = this.answerMs;
    this.endpoint?.answered(outcome);
  }

  /** As for requests (retry.ts): whoever is asked in the place of one that is not there has no more than if chosen at first. */
  #isFree(failure: Failure, endpoint: EndpointState): boolean {
    return failure === failures.refused && this.tries === 1 && !this.tried.includes(endpoint);
  }

  /** Tells the endpoint how the try ended; once per try. */
  protected endTry(result: TryResult): void {
    const { endpoint } = this;
    if (endpoint === null) return;
    this.endpoint = null;
    (this.backend as LiveBackend).state.circuit.connections--;
    if (result === 'local-failure' || result === 'unreachable') this.tried.push(endpoint);
    outcome.result = result;
    outcome.startedMs = this.tryStartedMs;
    outcome.nowMs = clock.nowMs;
    outcome.latencyMs = this.answerMs === -1 ? clock.nowMs - this.tryStartedMs : 0;
    endpoint.finished(outcome);
  }

  /** Whether the policy of the route allows another try now. */
  protected mayRetry(): boolean {
    const retry = this.route?.row.retry;
    if (retry === undefined || this.tries >= retry.attempts) return false;
    return retry.withinMs === 0 || clock.nowMs - this.startedAtMs < retry.withinMs;
  }

  /** Writes the record. @returns false when it was written before */
  protected finish(flag: ResponseFlag): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.flag = flag;
    this.endTry('abandoned');
    this.durationMs += clock.nowMs - this.startedAtMs;
    this.engine.observer.flowEnded(this);
    return true;
  }

  /** @param ms of the route; 0: no limit */
  protected deadline(ms: number | undefined): number {
    return ms === undefined || ms === 0 ? Number.POSITIVE_INFINITY : clock.nowMs + ms;
  }

  #cannot(flag: ResponseFlag): false {
    this.flag = flag;
    return false;
  }

  get routeId(): string {
    return this.route === null ? '' : this.route.row.id;
  }

  get routeSource(): Source | null {
    return this.route === null ? null : this.route.row.source;
  }

  get backendId(): string {
    return this.backend === null ? '' : this.backend.row.id;
  }

  get service(): FlowRecord['service'] {
    return this.backend === null ? null : this.backend.row.service;
  }

  // What endpoints of a request are chosen by, as far as a flow has it.
  get clientAddress(): string {
    return this.origin.address;
  }

  get hostname(): string {
    return this.serverName;
  }

  get isTls(): boolean {
    return this.serverName !== '';
  }

  readonly target = '';
  readonly path = '';
  readonly query = '';
  readonly routePath = '';

  header(): undefined {
    return undefined;
  }
}

const outcome = { result: 'success' as TryResult, startedMs: 0, latencyMs: 0, nowMs: 0 };
