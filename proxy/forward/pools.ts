import { clock } from '../listen/clock.ts';
import { connectionsByOpenFiles } from '../listen/openfiles.ts';
import { type Expiring, Sweep } from '../listen/sweep.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { Circuit } from '../select/circuit.ts';
import type { EndpointState } from '../select/types.ts';
import { dial, type Target } from './dial.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { H2Pool } from './h2pool.ts';
import type { H2Stream } from './h2stream.ts';
import { keepingOf } from './keeping.ts';
import { isHttp2, speaksTls } from './protocols.ts';
import { requestBytes } from './requestbody.ts';
import type { UpstreamSide } from './sides.ts';
import { anyCertificate, type TlsProfile } from './tlsprofile.ts';
import { UpstreamConnection } from './upstream.ts';
import { Waiting } from './waiting.ts';

/** Kept connections to one endpoint that are spoken to in the same way. */
export class Pool implements Target {
  readonly endpointKey: string;
  readonly tls: TlsProfile | null;
  /** Of the one backend whose connections these are, where that has a limit of them. */
  readonly circuit: Circuit | null;
  /** Newest last; the newest is used first, so that the others can go idle and end (LIFO). */
  readonly #idle: UpstreamConnection[] = [];
  readonly #owner: Pools;
  /** The endpoint, the TLS profile or the backend left the tables: what comes back is closed. */
  isGone = false;
  session: Buffer | null = null;

  constructor(owner: Pools, endpoint: EndpointState, tls: TlsProfile | null, circuit: Circuit | null) {
    this.#owner = owner;
    this.endpointKey = endpoint.key;
    this.tls = tls;
    this.circuit = circuit;
    this.isGone = endpoint.isGone || tls?.isGone === true || circuit?.isGone === true;
  }

  get idleCount(): number {
    return this.#idle.length;
  }

  take(nowMs: number): UpstreamConnection | null {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return null;
      if (connection.idleUntilMs > nowMs) return connection;
      connection.destroy();
    }
  }

  /** @param keepAliveMs what the backend said that it keeps the connection for; -1: nothing */
  release(connection: UpstreamConnection, keepAliveMs: number): void {
    const nowMs = clock.nowMs;
    const { keeping } = connection;
    // One second less than the backend's word, because its clock started first.
    const idleMs = keepAliveMs === -1 ? keeping.idleMs : Math.min(keeping.idleMs, keepAliveMs - 1000);
    connection.idleUntilMs = Math.min(nowMs + idleMs, keeping.retireAtMs);
    const isWorn = connection.idleUntilMs <= nowMs || connection.requests >= keeping.requests;
    if (this.isGone || isWorn || this.#idle.length >= keeping.connections) {
      connection.destroy();
      return;
    }
    connection.expiresAtMs = connection.idleUntilMs;
    this.#idle.push(connection);
    this.circuit?.roomCame(this.endpointKey);
  }

  /** Whether the newest can be taken. */
  hasKept(nowMs: number): boolean {
    return (this.#idle.at(-1)?.idleUntilMs ?? 0) > nowMs;
  }

  forget(connection: UpstreamConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    this.#owner.sweep.remove(connection);
    if (this.circuit === null) return;
    this.circuit.connections--;
    this.circuit.roomCame(this.endpointKey);
  }

  /** @returns false when none is idle */
  closeOldest(): boolean {
    const oldest = this.#idle[0];
    oldest?.destroy();
    return oldest !== undefined;
  }

  closeIdle(): void {
    for (const connection of this.#idle.slice()) connection.destroy();
  }

  /** The older half, which is needed least. */
  closeHalf(): void {
    for (const connection of this.#idle.slice(0, (this.#idle.length + 1) >> 1)) connection.destroy();
  }
}

/** Every backend connection of a worker. */
export class Pools {
  readonly sweep = new Sweep<Expiring>();
  /** Tries that are streams: their clocks are not their connection's. */
  readonly streams = new Sweep<H2Stream>();
  readonly #poolsByKey = new Map<string, Pool>();
  readonly #h2PoolsByKey = new Map<string, H2Pool>();
  /** Those that have pools of their own, or had. */
  readonly #circuits = new WeakSet<Circuit>();
  readonly #engine: Engine;
  /** Beyond this those that are kept for later take the files of clients, who would not be let in. */
  readonly #mostByFiles = connectionsByOpenFiles();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** A kept connection, or what `open` gives. */
  take(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    return this.#kept(exchange, endpoint, nowMs) ?? this.open(exchange, endpoint, nowMs);
  }

  /**
   * A connection that is being opened, or a place among those who wait for one.
   * @returns null: as many requests as may wait do so already
   */
  open(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    const backend = exchange.backend as LiveBackend;
    if (backend.state.circuit.isFull('pending')) return this.#narrow(exchange, endpoint, nowMs);
    return this.#dial(exchange, endpoint, nowMs) ?? new Waiting(this.#engine, endpoint, backend);
  }

  #narrow(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    const pool = this.#poolOf(exchange, endpoint);
    return pool instanceof H2Pool ? pool.takeNarrow(nowMs) : null;
  }

  /** Whether `take` gives a request something whose try is about to end. */
  hasRoom(exchange: Exchange, endpoint: EndpointState, nowMs: number): boolean {
    const { circuit } = (exchange.backend as LiveBackend).state;
    // If it waited for a connection, it leaves its own place.
    if (exchange.isPending || !circuit.isFull('pending')) return true;
    return this.#poolOf(exchange, endpoint)?.hasKept(nowMs) === true;
  }

  /** For a request that waits. @returns null: there is still no room */
  takeNow(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    return this.#kept(exchange, endpoint, nowMs) ?? this.#dial(exchange, endpoint, nowMs);
  }

  #kept(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    return this.#poolOf(exchange, endpoint)?.take(nowMs) ?? null;
  }

  #poolOf(exchange: Exchange, endpoint: EndpointState): Pool | H2Pool | null {
    const key = keyOf(exchange, endpoint);
    const { row, state } = exchange.backend as LiveBackend;
    const pool = isHttp2(row.protocol) ? this.#h2PoolsByKey.get(key) : this.#poolsByKey.get(key);
    return pool === undefined || this.#isLeftOver(pool, state.circuit) ? null : pool;
  }

  /** Of a backend of that id that is gone: its counts are not those of its successor. */
  #isLeftOver(pool: Pool | H2Pool, circuit: Circuit): boolean {
    if (pool.circuit === null || pool.circuit === circuit) return false;
    this.#retire((each) => each === pool);
    return true;
  }

  /** @returns null: a limit of the backend does not allow another connection */
  #dial(exchange: Exchange, endpoint: EndpointState, nowMs: number): UpstreamSide | null {
    const key = keyOf(exchange, endpoint);
    const backend = exchange.backend as LiveBackend;
    const { circuit } = backend.state;
    const owner = circuit.limits.connections === 0 ? null : circuit;
    const tls = tlsOf(exchange);
    const keeping = keepingOf(backend.row, this.#engine.limits, nowMs);
    if (isHttp2(backend.row.protocol)) {
      const { connectMs } = (exchange.route as NonNullable<Exchange['route']>).timeouts;
      return this.#h2Pool(key, endpoint, tls, owner).open(endpoint, keeping, connectMs, nowMs);
    }
    const pool = this.#pool(key, endpoint, tls, owner);
    if (!this.#mayOpen(circuit)) return null;
    if (this.sweep.size >= this.#mostByFiles) this.closeHalf();
    const connection = new UpstreamConnection(this.#engine, pool, keeping);
    if (owner !== null) owner.connections++;
    this.sweep.add(connection);
    dial(connection, endpoint, pool);
    this.#engine.pressure.putBy(requestBytes + connection.roomBytes);
    return connection;
  }

  /** Whether the backend may have one connection more; an idle one to another of its endpoints gives way. */
  #mayOpen(circuit: Circuit): boolean {
    if (!circuit.isFull('connections')) return true;
    circuit.isMakingRoom = true;
    for (const pool of this.#poolsByKey.values()) if (pool.circuit === circuit && pool.closeOldest()) break;
    circuit.isMakingRoom = false;
    return !circuit.isFull('connections');
  }

  #pool(key: string, endpoint: EndpointState, tls: TlsProfile | null, circuit: Circuit | null): Pool {
    if (circuit !== null) this.#circuits.add(circuit);
    let pool = this.#poolsByKey.get(key);
    if (pool === undefined || (circuit !== null && this.#isLeftOver(pool, circuit))) {
      pool = new Pool(this, endpoint, tls, circuit);
      // A request that began before its backend changed may still try again, or have its turn, in the old way.
      if (!pool.isGone) this.#poolsByKey.set(key, pool);
    }
    return pool;
  }

  #h2Pool(key: string, endpoint: EndpointState, tls: TlsProfile | null, circuit: Circuit | null): H2Pool {
    if (circuit !== null) this.#circuits.add(circuit);
    let pool = this.#h2PoolsByKey.get(key);
    if (pool === undefined || (circuit !== null && this.#isLeftOver(pool, circuit))) {
      pool = new H2Pool(this.#engine, endpoint, tls, circuit);
      this.#h2PoolsByKey.set(key, pool);
    }
    return pool;
  }

  /** The endpoint left every backend: idle connections close now, busy ones after their request. */
  endpointGone(endpointKey: string): void {
    this.#retire((pool) => pool.endpointKey === endpointKey);
  }

  /** Key material or settings changed: as with an endpoint that is gone. */
  tlsGone(profile: TlsProfile): void {
    this.#retire((pool) => pool.tls === profile);
  }

  /** The backend is gone. Its endpoints may be those of others for long, and nobody would ask for these pools again. */
  circuitGone(circuit: Circuit): void {
    if (this.#circuits.has(circuit)) this.#retire((pool) => pool.circuit === circuit);
  }

  /** It was for those who began before its endpoint or profile left the tables, and none of them is left. */
  ended(pool: H2Pool): void {
    this.#retire((each) => each === pool);
  }

  #retire(isConcerned: (pool: Pool | H2Pool) => boolean): void {
    for (const [key, pool] of this.#poolsByKey) {
      if (!isConcerned(pool)) continue;
      pool.isGone = true;
      this.#poolsByKey.delete(key);
      pool.closeIdle();
    }
    for (const [key, pool] of this.#h2PoolsByKey) {
      if (!isConcerned(pool)) continue;
      this.#h2PoolsByKey.delete(key);
      pool.retire();
    }
  }

  /** HTTP/1.1 only: a connection of HTTP/2 is seldom idle, and there are few. */
  closeIdle(): void {
    for (const pool of this.#poolsByKey.values()) pool.closeIdle();
  }

  /** Memory is short. Busy endpoints keep what they use most. */
  closeHalf(): void {
    for (const pool of this.#poolsByKey.values()) pool.closeHalf();
  }

  /** The worker ends. */
  retire(): void {
    this.closeIdle();
    for (const pool of this.#h2PoolsByKey.values()) pool.retire();
  }

  idleCount(): number {
    let count = 0;
    for (const pool of this.#poolsByKey.values()) count += pool.idleCount;
    for (const pool of this.#h2PoolsByKey.values()) count += pool.idleCount;
    return count;
  }
}

/** null: in the clear. */
function tlsOf(exchange: Exchange): TlsProfile | null {
  const { row, tls } = exchange.backend as LiveBackend;
  return speaksTls(row.protocol, exchange.isTls) ? (tls ?? anyCertificate) : null;
}

/**
 * Which connections the request may use. Those that are counted for a backend carry no requests of another; and one is shared only
 * where the same peer was verified in the same way.
 */
function keyOf(exchange: Exchange, endpoint: EndpointState): string {
  const backend = exchange.backend as LiveBackend;
  const tls = tlsOf(exchange);
  const key = tls === null ? endpoint.key : `${endpoint.key} ${tls.id}`;
  return backend.state.circuit.limits.connections === 0 ? key : `${backend.row.id} ${key}`;
}
