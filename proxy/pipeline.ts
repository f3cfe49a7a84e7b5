import type { Listener } from '#table/listener.ts';
import { sendTo } from './forward/attempt.ts';
import { RetryBudget } from './forward/budget.ts';
import type { Engine } from './forward/engine.ts';
import type { Exchange } from './forward/exchange.ts';
import { Pools } from './forward/pools.ts';
import { isHttp2 } from './forward/protocols.ts';
import { answer, answerLocally, refuse } from './listen/answer.ts';
import { refuseUnproven } from './listen/clientauth.ts';
import type { Connection } from './listen/connection.ts';
import { refuseDisguised } from './listen/disguise.ts';
import { Doors } from './listen/doors.ts';
import { believePeer } from './listen/forwarded.ts';
import { HalfOpen } from './listen/halfopen.ts';
import type { Limits } from './listen/limits.ts';
import { answerMaxForwards } from './listen/maxforwards.ts';
import { refusePassedThrough } from './listen/misdirected.ts';
import type { Pressure } from './listen/pressure.ts';
import { refusals } from './listen/refusals.ts';
import type { SocketHandle } from './listen/sockets.ts';
import type { Spreading } from './listen/spreading.ts';
import { withoutZeroes } from './listen/withoutzeroes.ts';
import { draw } from './match/weighted.ts';
import type { Observer } from './observe/record.ts';
import { traceContextOf } from './observe/tracecontext.ts';
import type { LiveTables } from './receive/live.ts';

export interface GatewayOptions {
  tables: LiveTables;
  observer: Observer;
  limits: Limits;
}

/** What moves the bytes of one worker. Opens listeners, and lives until drain() has resolved. */
export class Gateway implements Engine {
  readonly tables: LiveTables;
  readonly observer: Observer;
  readonly limits: Limits;
  readonly pools: Pools;
  readonly budget: RetryBudget;
  readonly encoders = { open: 0, bytes: 0 };
  #isDraining = false;
  isOver = false;
  readonly pressure: Pressure;
  readonly halfOpen: HalfOpen;
  readonly #doors: Doors;

  constructor(options: GatewayOptions) {
    this.tables = options.tables;
    this.observer = options.observer;
    this.limits = withoutZeroes(options.limits);
    this.pools = new Pools(this);
    this.budget = new RetryBudget(this.limits.retriesPerSecond, performance.now());
    this.halfOpen = new HalfOpen(this.limits.halfOpenHeads);
    this.#doors = new Doors(this);
    this.pressure = this.#doors.pressure;
    this.tables.onEndpointGone((key) => {
      this.pools.endpointGone(key);
      this.#doors.endpointGone(key);
    });
    this.tables.onTlsGone((profile) => this.pools.tlsGone(profile));
    this.tables.onCircuitGone((circuit) => this.pools.circuitGone(circuit));
    this.tables.onTrustGone(() => this.#doors.trustGone());
    this.tables.onListenersChanged(() => this.#doors.refresh());
  }

  get isDraining(): boolean {
    return this.#isDraining || this.pressure.isTight;
  }

  /** The life of a request, from its parsed head: match → filter → select → forward. It ends in listen/answer.ts, finish(). */
  run(exchange: Exchange): void {
    if (this.pressure.isFull && this.#doors.lacksMemoryFor(exchange.client?.peer.address ?? '')) {
      refuse(this, exchange, refusals.memory);
      return;
    }
    believePeer(exchange);
    if (answerMaxForwards(this, exchange)) return;

    const { route, host } = this.tables.match(exchange.listenerId, exchange);
    const peer = exchange.client?.peer;
    if (peer?.door.tracing) {
      const parent = exchange.header('traceparent');
      exchange.trace = traceContextOf(peer.door.tracing, route?.filters.tracing ?? null, parent, peer.isTrusted);
    }
    if (exchange.isTls && (refusePassedThrough(this, exchange) || refuseUnproven(this, exchange, host))) return;
    if (route === null) {
      answer(this, exchange, 404, 'NR', 'No route matches this host and path.');
      return;
    }
    exchange.route = route;
    const { timeouts, bodyLimit } = route;
    if (timeouts.requestMs > 0) exchange.requestDeadlineMs = exchange.startedAtMs + timeouts.requestMs;
    if (exchange.grpcTimeoutMs !== -1) {
      exchange.requestDeadlineMs = Math.min(exchange.requestDeadlineMs, exchange.startedAtMs + exchange.grpcTimeoutMs);
    }
    if (bodyLimit !== null && exchange.contentLength > bodyLimit) {
      refuse(this, exchange, refusals.bodyTooLong);
      return;
    }

    if (this.tables.keepsOut && refuseDisguised(this, exchange, route)) return;
    const local = route.filters.answer?.(exchange, { httpsPort: this.#doors.httpsPort }) ?? null;
    if (local !== null) {
      answerLocally(this, exchange, local);
      return;
    }
    // In the clear a redirect to https goes first.
    if (!exchange.isTls && refuseUnproven(this, exchange, host)) return;

    const chosen = draw(route.backends, Math.random);
    const backend = chosen === null ? undefined : this.tables.backend(chosen.backendId);
    if (chosen === null || backend === undefined) {
      answer(this, exchange, 503, 'NE', 'The route has no backend that takes traffic.');
      return;
    }
    exchange.backend = backend;
    exchange.backendFilters = chosen.filters;
    if (backend.row.broken !== null) {
      answer(this, exchange, backend.row.broken.status, 'BR', backend.row.broken.message);
      return;
    }

    if (exchange.wantsWebSocket && isHttp2(backend.row.protocol)) {
      answer(this, exchange, 501, 'UPE', 'The backend speaks HTTP/2, and no WebSocket over it.');
      return;
    }

    const pick = backend.state.pick(exchange, exchange.tried, exchange.startedAtMs);
    if (pick === null) {
      answer(this, exchange, 503, 'NE', 'No endpoint of the service can take this request now.');
      return;
    }
    exchange.setCookie = pick.setCookie;
    if (sendTo(this, exchange, pick.endpoint)) this.budget.deposit(exchange.startedAtMs);
  }

  /**
   * @param target a port to bind on the listener's addresses (0: one that is free), or a bound socket of another process
   * @returns the bound port
   * @throws the system's error when the port cannot be had
   */
  openListener(listener: Listener, target: number | SocketHandle): Promise<{ port: number }> {
    return this.#doors.open(listener, target);
  }

  /** Stops accepting there. Connections end after the request that they are in. */
  closeListener(id: string): void {
    this.#doors.close(id);
  }

  connectionClosed(connection: Connection): void {
    this.#doors.forget(connection);
  }

  get spreading(): Spreading {
    return this.#doors.spreading;
  }

  /**
   * Accepts no more, ends idle connections now and others after their request. What is left when time is up is cut off. Resolves
   * when all are closed, and have told of their end.
   */
  async drain(graceMs: number): Promise<void> {
    this.#isDraining = true;
    await this.#doors.drain(graceMs);
    this.isOver = true;
    await this.#doors.cutOff();
    this.pools.retire();
  }

  counts(): { connections: number; requests: number; idleUpstream: number; upstream: number } {
    return {
      connections: this.#doors.connectionCount(),
      requests: this.#doors.requestCount(),
      idleUpstream: this.pools.idleCount(),
      upstream: this.pools.sweep.size,
    };
  }
}
