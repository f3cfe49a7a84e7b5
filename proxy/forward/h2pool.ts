import type { Circuit } from '../select/circuit.ts';
import type { EndpointState } from '../select/types.ts';
import { dial, type Target } from './dial.ts';
import type { Engine } from './engine.ts';
import { H2Connection } from './h2connection.ts';
import type { H2Stream } from './h2stream.ts';
import type { Keeping } from './keeping.ts';
import type { TlsProfile } from './tlsprofile.ts';

/** The HTTP/2 connections to one endpoint that are spoken to in the same way: as few as its limit of streams allows. */
export class H2Pool implements Target {
  readonly endpointKey: string;
  readonly tls: TlsProfile | null;
  /** Of the one backend whose connections these are, where that has a limit of them. */
  readonly circuit: Circuit | null;
  session: Buffer | null = null;
  /** Streams that the endpoint allows on a connection, by what it said last; null: it has said nothing yet. */
  streams: number | null = null;
  /** From the beginning: what it opens is closed after its last request. */
  readonly isGone: boolean;
  readonly #engine: Engine;
  readonly #connections: H2Connection[] = [];

  constructor(engine: Engine, endpoint: EndpointState, tls: TlsProfile | null, circuit: Circuit | null) {
    this.#engine = engine;
    this.endpointKey = endpoint.key;
    this.tls = tls;
    this.circuit = circuit;
    this.isGone = endpoint.isGone || tls?.isGone === true || circuit?.isGone === true;
  }

  get idleCount(): number {
    return this.#connections.reduce((count, { streamCount }) => count + (streamCount === 0 ? 1 : 0), 0);
  }

  /** Counted only where there are as many connections at all: it is asked whenever one of them becomes idle. */
  hasMoreIdleThan(most: number): boolean {
    return this.#connections.length > most && this.idleCount > most;
  }

  /** A stream of an open connection with room. */
  take(nowMs: number): H2Stream | null {
    return this.#withRoom(nowMs, 'open')?.take() ?? null;
  }

  /**
   * A stream of a connection that is being opened; of one whose window others have filled, where the backend's limit allows no more.
   * @returns null: there is none of these, either. The first connection to an endpoint is always allowed, for there may be no idle one
   * elsewhere that could give way
   */
  open(endpoint: EndpointState, keeping: Keeping, connectMs: number, nowMs: number): H2Stream | null {
    const opening = this.#withRoom(nowMs, 'opening');
    if (opening !== null) return opening.take();
    const isFull = this.#connections.length > 0 && this.circuit?.isFull('connections');
    if (isFull) return this.takeNarrow(nowMs);
    if (this.circuit !== null) this.circuit.connections++;
    const connection = new H2Connection(this.#engine, this, this.tls !== null, keeping, nowMs, connectMs);
    this.#connections.push(connection);
    this.#engine.pools.sweep.add(connection);
    dial(connection, endpoint, this, 'h2');
    return connection.take();
  }

  /** For who would be refused otherwise: a stream of a connection whose window others have filled. */
  takeNarrow(nowMs: number): H2Stream | null {
    return this.#withRoom(nowMs, 'narrow')?.take() ?? null;
  }

  /** Whether `take` gives one. */
  hasKept(nowMs: number): boolean {
    return this.#withRoom(nowMs, 'open') !== null;
  }

  #withRoom(nowMs: number, state: H2Connection['state']): H2Connection | null {
    // A copy: a connection that is past its age leaves the list when it is asked.
    for (const connection of this.#connections.length > 1 ? this.#connections.slice() : this.#connections) {
      if (connection.hasRoom(nowMs) && connection.state === state) return connection;
    }
    return null;
  }

  forget(connection: H2Connection): void {
    const at = this.#connections.indexOf(connection);
    if (at !== -1) this.#connections.splice(at, 1);
    if (this.isGone && this.#connections.length === 0) this.#engine.pools.ended(this);
  }

  /** The endpoint left the tables, or the worker ends: no more requests. */
  retire(): void {
    for (const connection of this.#connections.slice()) connection.retire();
  }
}
