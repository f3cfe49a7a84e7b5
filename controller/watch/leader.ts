import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '#kit/log.ts';
import { type ApiAnswer, type Cluster, microTime } from './api.ts';
import { propertyOf } from './read.ts';

export interface LeaderElectionOptions {
  cluster: Cluster;
  /** Of the Lease. */
  namespace: string;
  name: string;
  /** Of this process; must differ between all that stand for election. */
  identity: string;
  onChange: (isLeader: boolean) => void;
  log: Log;
  /** In [0, 1). */
  random?: () => number;
}

/** client-go's times. A leader that could not renew for `renewLimitMs` stops writing before anyone else may begin. */
const leaseMs = 15_000;
const renewLimitMs = 10_000;
const retryMs = 2_000;
const callTimeoutMs = 5_000;

/** Stands for election until `stop`, which hands the Lease back so that another takes over at once. */
export function standForElection(options: LeaderElectionOptions): LeaderElection {
  const election = new LeaderElection(options);
  election.start();
  return election;
}

/**
 * One of several holds the Lease. Not a fence: what the leader writes must be harmless when written twice.
 * Clocks of machines differ, so times inside the record are never believed: a Lease has run out when this process
 * has not seen it change for its whole duration, by its own clock.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #stop = new AbortController();
  readonly #random: () => number;
  /** The record as last seen, and when it last changed. */
  #seenVersion = '';
  #seenAtMs = 0;
  #renewedAtMs = Number.NEGATIVE_INFINITY;
  #isLeader = false;
  #expiry: NodeJS.Timeout | null = null;
  #running: Promise<void> = Promise.resolve();
  #failure = '';

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#random = options.random ?? Math.random;
  }

  isLeader(): boolean {
    return this.#isLeader;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    const wasLeader = this.#isLeader;
    this.#resign();
    if (wasLeader) await this.#release().catch(() => undefined);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.#attempt().then(
        () => {
          this.#failure = '';
        },
        (error: Error) => this.#note(error.message),
      );
      const delayMs = this.#isLeader ? retryMs : retryMs * (1 + 0.2 * this.#random());
      await sleep(delayMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Creates, takes or renews the Lease if that is due. */
  async #attempt(): Promise<void> {
    const { namespace, name, identity } = this.#options;
    const beganMs = performance.now();
    const found = await this.#call({ path: this.#path() });
    if (found.status === 404) {
      const body = { ...leaseKind, metadata: { name, namespace }, spec: this.#record(null) };
      const made = await this.#call({ method: 'POST', path: this.#collection(), body });
      return this.#outcome(made, beganMs);
    }
    if (found.status !== 200) return this.#outcome(found, beganMs);
    const spec = propertyOf(found.body, 'spec');
    const holder = propertyOf(spec, 'holderIdentity');
    this.#observe(found.body);
    const isHeld = typeof holder === 'string' && holder !== '' && holder !== identity;
    const durationMs = (Number(propertyOf(spec, 'leaseDurationSeconds')) || leaseMs / 1000) * 1000;
    if (isHeld && performance.now() - this.#seenAtMs < durationMs) return this.#resign();
    // With its resourceVersion: if another was faster, the server says 409.
    const body = { ...(found.body as object), spec: this.#record(spec) };
    this.#outcome(await this.#call({ method: 'PUT', path: this.#path(), body }), beganMs);
  }

  #outcome(answer: ApiAnswer, beganMs: number): void {
    if (answer.status === 200 || answer.status === 201) {
      this.#observe(answer.body);
      this.#renewedAtMs = beganMs;
      this.#lead();
    } else if (answer.status === 409) {
      this.#failure = '';
    } else {
      this.#note(`${answer.status}: ${propertyOf(answer.body, 'message') ?? 'no reason given'}`);
    }
  }

  #observe(lease: unknown): void {
    const version = String(propertyOf(propertyOf(lease, 'metadata'), 'resourceVersion'));
    if (version === this.#seenVersion) return;
    this.#seenVersion = version;
    this.#seenAtMs = performance.now();
  }

  #lead(): void {
    if (this.#expiry) clearTimeout(this.#expiry);
    const leftMs = renewLimitMs - (performance.now() - this.#renewedAtMs);
    this.#expiry = setTimeout(() => this.#resign(), leftMs);
    if (this.#isLeader) return;
    this.#isLeader = true;
    this.#options.log.info({ identity: this.#options.identity }, 'leading: this controller writes statuses and events');
    this.#options.onChange(true);
  }

  #resign(): void {
    if (this.#expiry) clearTimeout(this.#expiry);
    if (!this.#isLeader) return;
    this.#isLeader = false;
    this.#options.log.info({ identity: this.#options.identity }, 'no longer leading');
    this.#options.onChange(false);
  }

  /** Gives the Lease back, unless somebody else has it by now. */
  async #release(): Promise<void> {
    const found = await this.#call({ path: this.#path(), isLast: true });
    const spec = propertyOf(found.body, 'spec');
    if (found.status !== 200 || propertyOf(spec, 'holderIdentity') !== this.#options.identity) return;
    const released = { ...this.#record(spec), holderIdentity: '', leaseDurationSeconds: 1 };
    await this.#call({
      method: 'PUT',
      path: this.#path(),
      body: { ...(found.body as object), spec: released },
      isLast: true,
    });
  }

  #record(before: unknown): Record<string, unknown> {
    const { identity } = this.#options;
    const now = microTime();
    const isSame = propertyOf(before, 'holderIdentity') === identity;
    const transitions = Number(propertyOf(before, 'leaseTransitions')) || 0;
    return {
      holderIdentity: identity,
      leaseDurationSeconds: leaseMs / 1000,
      acquireTime: isSame ? propertyOf(before, 'acquireTime') : now,
      renewTime: now,
      leaseTransitions: before === null || isSame ? transitions : transitions + 1,
    };
  }

  async #call({
    isLast,
    ...call
  }: {
    method?: 'POST' | 'PUT';
    path: string;
    body?: unknown;
    isLast?: true;
  }): Promise<ApiAnswer> {
    const signal = isLast ? {} : { signal: this.#stop.signal };
    return await this.#options.cluster.call({ ...call, ...signal, timeoutMs: callTimeoutMs });
  }

  #collection(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(this.#options.namespace)}/leases`;
  }

  #path(): string {
    return `${this.#collection()}/${encodeURIComponent(this.#options.name)}`;
  }

  #note(failure: string): void {
    if (failure === this.#failure || this.#stop.signal.aborted) return;
    this.#failure = failure;
    this.#options.log.warn({ lease: this.#options.name }, `the Lease cannot be taken or renewed: ${failure}`);
  }
}

const leaseKind = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' };
