import type { LiveBackend } from '../receive/live.ts';
import type { EndpointState } from '../select/types.ts';
import { dial } from './dial.ts';
import type { Engine } from './engine.ts';
import { H2Connection } from './h2connection.ts';
import type { H2Stream } from './h2stream.ts';

/** The HTTP/2 connections to one endpoint that are spoken to in the same way: as few as its limit of streams allows. */
export class H2Pool {
  readonly endpointKey: string;
  readonly #engine: Engine;
  readonly #connections: H2Connection[] = [];

  constructor(engine: Engine, endpointKey: string) {
    this.#engine = engine;
    this.endpointKey = endpointKey;
  }

  get idleCount(): number {
    return this.#connections.reduce((count, { streamCount }) => count + (streamCount === 0 ? 1 : 0), 0);
  }

  /** A stream of an open connection with room, or of one that is being opened. */
  take(endpoint: EndpointState, tlsBackend: LiveBackend | null, connectMs: number, nowMs: number): H2Stream {
    // A copy: a connection that is past its age leaves the list when it is asked.
    for (const connection of this.#connections.length > 1 ? this.#connections.slice() : this.#connections) {
      if (connection.hasRoom(nowMs)) return connection.take();
    }
    const connection = new H2Connection(this.#engine, this, tlsBackend !== null, nowMs, connectMs);
    this.#connections.push(connection);
    this.#engine.pools.sweep.add(connection);
    dial(connection, endpoint, tlsBackend, 'h2');
    return connection.take();
  }

  forget(connection: H2Connection): void {
    const at = this.#connections.indexOf(connection);
    if (at !== -1) this.#connections.splice(at, 1);
  }

  /** The endpoint left the tables, or the worker ends: no more requests. */
  retire(): void {
    for (const connection of this.#connections.slice()) connection.retire();
  }
}
