import { clock } from '../listen/clock.ts';
import type { Expiring } from '../listen/sweep.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { Waiter } from '../select/circuit.ts';
import type { EndpointState } from '../select/types.ts';
import { attemptFailed, connectionCame, goElsewhere } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { failures } from './failures.ts';
import type { UpstreamSide } from './sides.ts';
import { TryClock } from './tryclock.ts';

/** Stands where the connection will be, while the backend has as many as it may have. The wait is as long as one for a connection. */
export class Waiting implements UpstreamSide, Expiring, Waiter {
  expiresAtMs = Number.POSITIVE_INFINITY;
  sweepIndex = -1;
  readonly isConnected = false;
  readonly isReused = false;
  readonly hasAnswered = false;
  readonly hasEnded = false;
  readonly isFull = false;
  readonly holdsLent = false;
  readonly chunk = null;
  readonly roomBytes = 0;
  readonly heldBytes = 0;
  readonly #engine: Engine;
  #endpoint: EndpointState;
  readonly #backend: LiveBackend;
  readonly #clock = new TryClock();
  #exchange: Exchange | null = null;
  #isAsking = false;

  constructor(engine: Engine, endpoint: EndpointState, backend: LiveBackend) {
    this.#engine = engine;
    this.#endpoint = endpoint;
    this.#backend = backend;
  }

  get endpointKey(): string {
    return this.#endpoint.key;
  }

  assign(exchange: Exchange, nowMs: number): void {
    const { timeouts } = exchange.route as NonNullable<Exchange['route']>;
    this.#exchange = exchange;
    this.#clock.begin(timeouts, exchange.isRequestComplete, nowMs);
    this.expiresAtMs = this.#clock.connectDue(nowMs, timeouts.connectMs);
    this.#engine.pools.sweep.add(this);
    this.#backend.state.circuit.waiting.add(this);
  }

  admit(): void {
    const exchange = this.#exchange;
    if (exchange === null || this.#isAsking) return;
    if (!this.#endpoint.isOf(this.#backend.state)) this.#endpoint = goElsewhere(exchange) ?? this.#endpoint;
    // Looking for a connection may close old ones, which makes room in the middle of it.
    this.#isAsking = true;
    const upstream = this.#engine.pools.takeNow(exchange, this.#endpoint, clock.nowMs);
    this.#isAsking = false;
    if (upstream === null) return;
    this.destroy();
    connectionCame(exchange, upstream);
  }

  expired(): void {
    const exchange = this.#exchange;
    this.destroy();
    if (exchange !== null) attemptFailed(this.#engine, exchange, this, failures.noRoom);
  }

  abandon(): void {
    this.destroy();
  }

  destroy(): void {
    if (this.#exchange === null) return;
    // Nothing was asked of the endpoint so far: that the backend may have no more connections does not make it slow.
    this.#exchange.tryStartedMs = clock.nowMs;
    this.#exchange = null;
    this.#engine.pools.sweep.remove(this);
    this.#backend.state.circuit.waiting.delete(this);
  }

  // Nothing is written to, or read from, what is not there yet.
  flush(): void {}
  writeBody(): void {}
  end(): void {}
  pause(): void {}
  resume(): void {}
  endSoon(): void {}
}
