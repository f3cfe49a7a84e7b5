import { clock } from '../listen/clock.ts';
import { type Expiring, Sweep } from '../listen/sweep.ts';
import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState } from '../select/types.ts';
import { dial } from './dial.ts';
import type { Engine } from './engine.ts';
import { H2Pool } from './h2pool.ts';
import type { H2Stream } from './h2stream.ts';
import type { UpstreamSide } from './sides.ts';
import { UpstreamConnection } from './upstream.ts';

/** Kept connections to one endpoint that are spoken to in the same way. */
export class Pool {
  readonly endpointKey: string;
  /** Newest last; the newest is used first, so that the others can go idle and end (LIFO). */
  readonly #idle: UpstreamConnection[] = [];
  readonly #owner: Pools;
  readonly #engine: Engine;
  /** The endpoint left the tables: what comes back is closed. */
  isGone = false;

  constructor(owner: Pools, engine: Engine, endpointKey: string) {
    this.#owner = owner;
    this.#engine = engine;
    this.endpointKey = endpointKey;
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
    const { upstreamIdleMs, upstreamIdleConnections } = this.#engine.limits;
    // One second less than the backend's word, because its clock started first.
    const idleMs = keepAliveMs === -1 ? upstreamIdleMs : Math.min(upstreamIdleMs, keepAliveMs - 1000);
    connection.idleUntilMs = Math.min(nowMs + idleMs, connection.retireAtMs);
    if (this.isGone || connection.idleUntilMs <= nowMs || this.#idle.length >= upstreamIdleConnections) {
      connection.destroy();
      return;
    }
    connection.expiresAtMs = connection.idleUntilMs;
    this.#idle.push(connection);
  }

  forget(connection: UpstreamConnection): void {
    const at = this.#idle.lastIndexOf(connection);
    if (at !== -1) this.#idle.splice(at, 1);
    this.#owner.sweep.remove(connection);
  }

  closeIdle(): void {
    for (const connection of this.#idle.slice()) connection.destroy();
  }
}

/** Every backend connection of a worker. */
export class Pools {
  readonly sweep = new Sweep<Expiring>();
  /** Tries that are streams: their clocks are not their connection's. */
  readonly streams = new Sweep<H2Stream>();
  readonly #poolsByKey = new Map<string, Pool>();
  readonly #h2PoolsByKey = new Map<string, H2Pool>();
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** A kept connection, or one that is being opened. */
  take(
    endpoint: EndpointState,
    backend: LiveBackend,
    isClientTls: boolean,
    connectMs: number,
    canReuse: boolean,
    nowMs: number,
  ): UpstreamSide {
    const protocol = backend.row.protocol;
    const isTls = protocol === 'https' || protocol === 'h2' || (protocol === 'same-as-client' && isClientTls);
    const key = isTls ? tlsKey(endpoint, backend) : endpoint.key;
    if (protocol === 'h2' || protocol === 'h2c') {
      return this.#h2Pool(key, endpoint.key).take(endpoint, isTls ? backend : null, connectMs, nowMs);
    }
    let pool = this.#poolsByKey.get(key);
    if (pool === undefined) {
      pool = new Pool(this, this.#engine, endpoint.key);
      this.#poolsByKey.set(key, pool);
    }
    const kept = canReuse ? pool.take(nowMs) : null;
    if (kept !== null) return kept;
    const connection = new UpstreamConnection(this.#engine, pool, nowMs);
    this.sweep.add(connection);
    dial(connection, endpoint, isTls ? backend : null);
    return connection;
  }

  #h2Pool(key: string, endpointKey: string): H2Pool {
    let pool = this.#h2PoolsByKey.get(key);
    if (pool === undefined) {
      pool = new H2Pool(this.#engine, endpointKey);
      this.#h2PoolsByKey.set(key, pool);
    }
    return pool;
  }

  /** The endpoint left every backend: idle connections close now, busy ones after their request. */
  endpointGone(endpointKey: string): void {
    for (const [key, pool] of this.#poolsByKey) {
      if (pool.endpointKey !== endpointKey) continue;
      pool.isGone = true;
      this.#poolsByKey.delete(key);
      pool.closeIdle();
    }
    for (const [key, pool] of this.#h2PoolsByKey) {
      if (pool.endpointKey !== endpointKey) continue;
      this.#h2PoolsByKey.delete(key);
      pool.retire();
    }
  }

  closeIdle(): void {
    for (const pool of this.#poolsByKey.values()) pool.closeIdle();
    for (const pool of this.#h2PoolsByKey.values()) pool.retire();
  }

  idleCount(): number {
    let count = 0;
    for (const pool of this.#poolsByKey.values()) count += pool.idleCount;
    for (const pool of this.#h2PoolsByKey.values()) count += pool.idleCount;
    return count;
  }
}

/** Connections are shared only by backends that verify the same peer in the same way. */
function tlsKey(endpoint: EndpointState, backend: LiveBackend): string {
  const tls = backend.row.tls;
  return `${endpoint.key} tls ${tls?.serverName ?? ''} ${tls?.caSecretId ?? ''} ${numberOf(backend.caPem)}`;
}

const numbersByCa = new Map<string, number>();

/** A bundle is kilobytes of text; as part of a key it is a number. */
function numberOf(caPem: string | null): number {
  if (caPem === null) return 0;
  let number = numbersByCa.get(caPem);
  if (number === undefined) {
    if (numbersByCa.size >= 1_000) numbersByCa.clear();
    number = ++lastCa;
    numbersByCa.set(caPem, number);
  }
  return number;
}

let lastCa = 0;
