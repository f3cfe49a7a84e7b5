import type { AddressInfo, Server } from 'node:net';
import type { Listener } from '#table/listener.ts';
import type { Engine } from '../forward/engine.ts';
import type { Connection } from './connection.ts';
import { type Door, doorOf } from './door.ts';
import { Gate } from './gate.ts';
import { connectionsByOpenFiles } from './openfiles.ts';
import type { Pressure } from './pressure.ts';
import { createPlainServer, createTlsServer, type ServerOptions } from './server.ts';
import { Sweep } from './sweep.ts';
import { refreshTls, tlsOptions } from './tls.ts';

/** The open ports of one listener: several when it binds several addresses. */
interface OpenDoor {
  door: Door;
  port: number;
  readonly servers: Server[];
}

/** All listeners of a worker and the client connections that came through them. */
export class Doors {
  readonly #engine: Engine;
  readonly #doorsById = new Map<string, OpenDoor>();
  readonly #connections = new Sweep<Connection>();
  readonly #gate: Gate;
  #onEmpty: (() => void) | null = null;
  /** Port for redirects to https. */
  httpsPort = 443;

  constructor(engine: Engine) {
    this.#engine = engine;
    const capacity = Math.min(engine.limits.connections, connectionsByOpenFiles());
    this.#gate = new Gate({
      limits: engine.limits,
      observer: engine.observer,
      capacity,
      makeRoom: () => this.#makeRoom(),
    });
  }

  get pressure(): Pressure {
    return this.#gate.pressure;
  }

  async open(listener: Listener, target: number | object): Promise<{ port: number }> {
    const open: OpenDoor = this.#doorsById.get(listener.id) ?? {
      door: doorOf(listener, 0, this.#engine.limits),
      port: 0,
      servers: [],
    };
    const addresses = typeof target === 'number' && listener.addresses.length > 0 ? listener.addresses : [undefined];
    for (const address of addresses) {
      const server = this.#createServer(listener, open);
      if (typeof target !== 'number') await listen(server, target);
      else
        await listen(server, {
          port: open.port === 0 ? target : open.port,
          ...(address === undefined ? {} : { host: address }),
        });
      open.servers.push(server);
      open.port = (server.address() as AddressInfo | null)?.port ?? open.port;
    }
    open.door = doorOf(listener, open.port, this.#engine.limits);
    this.#doorsById.set(listener.id, open);
    this.refresh();
    return { port: open.port };
  }

  #createServer(listener: Listener, open: OpenDoor): Server {
    const options: ServerOptions = {
      engine: this.#engine,
      listenerId: listener.id,
      door: () => open.door,
      gate: this.#gate,
      opened: (connection) => {
        this.#connections.add(connection);
        this.#engine.observer.connectionOpened(listener.id);
      },
      replaced: (before, now) => {
        this.#connections.remove(before);
        this.#connections.add(now);
      },
    };
    return listener.protocol === 'https'
      ? createTlsServer(options, tlsOptions(this.#engine, listener))
      : createPlainServer(options);
  }

  /** Rows changed: new connections see the new ones. */
  refresh(): void {
    for (const [id, open] of this.#doorsById) {
      const row = this.#engine.tables.listeners.get(id);
      if (row !== undefined) open.door = doorOf(row, open.port, this.#engine.limits);
      if (open.door.isTls) for (const server of open.servers) refreshTls(this.#engine, id, server);
      if (open.door.isTls && (id === 'https' || !this.#doorsById.has('https'))) this.httpsPort = open.door.publicPort;
    }
  }

  close(id: string): void {
    for (const server of this.#doorsById.get(id)?.servers ?? []) server.close();
    this.#doorsById.delete(id);
    this.#connections.forEach((connection) => {
      if (connection.door.listenerId === id) connection.drain();
    });
  }

  forget(connection: Connection): void {
    this.#connections.remove(connection);
    this.#engine.observer.connectionClosed(connection.door.listenerId);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  /** Ends idle connections, those first that have been idle longest, some at a time. */
  #makeRoom(): number {
    const idle: Connection[] = [];
    this.#connections.forEach((connection) => {
      if (connection.isIdle) idle.push(connection);
    });
    idle.sort((one, other) => one.expiresAtMs - other.expiresAtMs);
    const some = idle.slice(0, Math.max(1, this.#engine.limits.connections >> 6));
    for (const connection of some) connection.destroy();
    return some.length;
  }

  async drain(graceMs: number): Promise<void> {
    this.#gate.stop();
    for (const id of [...this.#doorsById.keys()]) this.close(id);
    if (this.#connections.size === 0) return;
    this.#sendAway(graceMs);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onEmpty = null;
    this.#connections.forEach((connection) => {
      connection.destroy();
    });
  }

  /** WebSockets would stay to the end: their clients are told to go one after the other, for all at once would be a rush. */
  #sendAway(graceMs: number): void {
    // What is left of the grace is for those who take their time to say goodbye.
    const spreadMs = Math.max(0, graceMs - this.#engine.limits.lingerMs) * 0.9;
    const each = spreadMs / this.#connections.size;
    let atMs = performance.now();
    this.#connections.forEach((connection) => {
      atMs += each;
      connection.leaveAt(atMs);
    });
  }

  connectionCount(): number {
    return this.#connections.size;
  }

  requestCount(): number {
    let count = 0;
    this.#connections.forEach((connection) => {
      count += connection.requestsInFlight;
    });
    return count;
  }
}

function listen(server: Server, target: object): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.removeListener('error', reject);
      // Errors of accept are not the end of the listener.
      server.on('error', () => {});
      resolve();
    });
    server.listen(target, 4096);
  });
}
