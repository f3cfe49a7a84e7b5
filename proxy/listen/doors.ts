import type { AddressInfo, Server } from 'node:net';
import type { L4Route } from '#table/l4route.ts';
import type { Listener } from '#table/listener.ts';
import { closeEmpty } from '../carry/handle.ts';
import { talkers } from '../carry/talkers.ts';
import type { Engine } from '../forward/engine.ts';
import { clock, readClock } from './clock.ts';
import { type Connection, restMs } from './connection.ts';
import { type Door, doorOf } from './door.ts';
import { Gate } from './gate.ts';
import { Nascent } from './nascent.ts';
import { connectionsByOpenFiles } from './openfiles.ts';
import type { Pressure } from './pressure.ts';
import { createPlainServer, type ServerOptions } from './server.ts';
import type { ShedBytes, ShedGoal } from './shedding.ts';
import type { SocketHandle } from './sockets.ts';
import type { Source } from './sources.ts';
import { Spreading } from './spreading.ts';
import { Sweep } from './sweep.ts';
import { createTcpServer } from './tcp.ts';
import { createTlsServer } from './tlsserver.ts';
import { type Place, UdpListener } from './udp.ts';
import { UdpRoom, udpClientsOf } from './udproom.ts';

/** The open ports of one listener: several when it binds several addresses. */
interface OpenDoor {
  door: Door;
  port: number;
  readonly servers: Server[];
  /** In the place of servers, of a udp listener. */
  readonly datagrams: UdpListener[];
}

/** All listeners of a worker and the client connections that came through them. */
export class Doors {
  readonly #engine: Engine;
  readonly #doorsById = new Map<string, OpenDoor>();
  readonly #connections = new Sweep<Connection>();
  /** Those of them whose protocol has not begun, in the order in which they came. */
  readonly #nascent = new Set<Nascent>();
  readonly spreading = new Spreading(this.#connections);
  readonly #gate: Gate;
  /** How many client connections there may be. */
  readonly #capacity: number;
  readonly #udpRoom = new UdpRoom();
  readonly #udpClients: L4Route['clients'];
  #onEmpty: (() => void) | null = null;
  /** Port for redirects to https. */
  httpsPort = 443;

  constructor(engine: Engine) {
    this.#engine = engine;
    this.#capacity = Math.min(engine.limits.connections, connectionsByOpenFiles());
    this.#udpClients = udpClientsOf(engine.limits);
    this.#gate = new Gate({
      limits: engine.limits,
      observer: engine.observer,
      capacity: this.#capacity,
      listening: () => this.#descriptors(),
      makeRoom: () => this.#makeRoom(0),
      giveUpHandshake: (source) => this.#giveUpHandshake(source),
      saveMemory: () => {
        readClock();
        // Whoever has only just connected, or had an answer, may be asking; it is they who would pay for what others hold.
        this.#makeRoom(restMs);
        engine.pools.closeHalf();
      },
      held: () => this.#held(),
      shed: (goal) => this.#shed(goal),
    });
  }

  get pressure(): Pressure {
    return this.#gate.pressure;
  }

  lacksMemoryFor(address: string): boolean {
    return this.#gate.lacksMemoryFor(address);
  }

  async open(listener: Listener, target: number | SocketHandle): Promise<{ port: number }> {
    const door = doorOf(listener, 0, this.#engine.limits);
    const open: OpenDoor = this.#doorsById.get(listener.id) ?? { door, port: 0, servers: [], datagrams: [] };
    const addresses = typeof target === 'number' && listener.addresses.length > 0 ? listener.addresses : [undefined];
    for (const address of addresses) {
      const port = open.port === 0 ? target : open.port;
      const place = typeof port !== 'number' ? port : { port, ...(address === undefined ? {} : { host: address }) };
      if (listener.protocol === 'udp') await this.#receive(listener, open, place);
      else await this.#listen(listener, open, place);
    }
    open.door = doorOf(listener, open.port, this.#engine.limits);
    this.#doorsById.set(listener.id, open);
    this.refresh();
    return { port: open.port };
  }

  async #listen(listener: Listener, open: OpenDoor, place: Place): Promise<void> {
    const server = this.#createServer(listener, open);
    await listen(server, place);
    open.servers.push(server);
    open.port = (server.address() as AddressInfo | null)?.port ?? open.port;
  }

  async #receive(listener: Listener, open: OpenDoor, place: Place): Promise<void> {
    const start = {
      engine: this.#engine,
      listenerId: listener.id,
      room: this.#udpRoom,
      clients: this.#udpClients,
      onEmpty: () => this.#ended(),
    };
    const datagrams = await UdpListener.open(start, place);
    open.datagrams.push(datagrams);
    open.port = datagrams.port;
  }

  #createServer(listener: Listener, open: OpenDoor): Server {
    const options: ServerOptions = {
      engine: this.#engine,
      listenerId: listener.id,
      door: () => open.door,
      gate: this.#gate,
      opened: (connection) => {
        this.#add(connection);
        this.#engine.observer.connectionOpened(listener.id);
      },
      replaced: (before, now) => {
        this.#remove(before);
        this.#add(now);
      },
    };
    if (listener.protocol === 'tcp') return createTcpServer(options);
    return listener.protocol === 'https' ? createTlsServer(options) : createPlainServer(options);
  }

  /** Rows changed: new connections see the new ones. */
  refresh(): void {
    for (const [id, open] of this.#doorsById) {
      const row = this.#engine.tables.listeners.get(id);
      if (row !== undefined) open.door = doorOf(row, open.port, this.#engine.limits);
      if (open.door.isTls && (id === 'https' || !this.#doorsById.has('https'))) this.httpsPort = open.door.publicPort;
    }
  }

  close(id: string): void {
    const open = this.#doorsById.get(id);
    for (const server of open?.servers ?? []) closeEmpty(server);
    for (const datagrams of open?.datagrams ?? []) datagrams.close();
    this.#doorsById.delete(id);
    this.#connections.forEach((connection) => {
      if (connection.door.listenerId === id) connection.drain();
    });
  }

  /** What was proved to a trust that is gone is worth nothing for new ones: such connections end with the request that they are in, or the next. */
  trustGone(): void {
    this.#connections.forEach((connection) => {
      if (connection.proof?.trust.isGone === true) connection.drain();
    });
  }

  forget(connection: Connection): void {
    this.#remove(connection);
    this.#engine.observer.connectionClosed(connection.door.listenerId);
    this.#ended();
  }

  #add(connection: Connection): void {
    this.#connections.add(connection);
    if (connection instanceof Nascent) this.#nascent.add(connection);
  }

  #remove(connection: Connection): void {
    this.#connections.remove(connection);
    if (connection instanceof Nascent) this.#nascent.delete(connection);
  }

  #ended(): void {
    if (this.connectionCount() === 0) this.#onEmpty?.();
  }

  endpointGone(key: string): void {
    for (const each of this.#datagrams()) each.endpointGone(key);
  }

  #descriptors(): number[] {
    const servers = [...this.#doorsById.values()].flatMap((open) => open.servers);
    return servers.flatMap((server) => (server as unknown as ListeningServer)._handle?.fd ?? []);
  }

  /** Ends connections that have been idle for so long, those first that have been so longest, some at a time. */
  #makeRoom(leastMs: number): number {
    const idle: Connection[] = [];
    this.#connections.forEach((connection) => {
      if (connection.isIdle && clock.nowMs - connection.idleSinceMs >= leastMs) idle.push(connection);
    });
    idle.sort((one, other) => one.idleSinceMs - other.idleSinceMs);
    const some = idle.slice(0, Math.max(1, this.#capacity >> 6));
    for (const connection of some) connection.destroy();
    return some.length;
  }

  #giveUpHandshake(source: Source | null): boolean {
    for (const nascent of this.#nascent) {
      if (clock.nowMs - nascent.begunAtMs <= handshakePatienceMs) return false;
      if (source !== null && nascent.admission.source !== source) continue;
      // It may be a while until it is closed.
      this.#nascent.delete(nascent);
      nascent.expired();
      return true;
    }
    return false;
  }

  /** Bytes that those hold who hold more than a few. */
  #held(): number {
    let all = 0;
    this.#connections.forEach(({ heldBytes }) => {
      if (heldBytes >= fewBytes) all += heldBytes;
    });
    return all;
  }

  /** Ends connections that hold much, those first that hold most. */
  #shed(goal: ShedGoal): ShedBytes {
    const all = this.#held();
    if (all < goal.leastBytes) return { bytes: 0, lateBytes: 0 };
    const holders: { connection: Connection; heldBytes: number }[] = [];
    this.#connections.forEach((connection) => {
      const { heldBytes } = connection;
      if (heldBytes >= fewBytes) holders.push({ connection, heldBytes });
    });
    holders.sort((one, other) => other.heldBytes - one.heldBytes);
    const bytes = Math.max(goal.bytes, goal.share * all);
    let shedBytes = 0;
    let lateBytes = 0;
    for (const { connection, heldBytes } of holders) {
      if (shedBytes >= bytes) break;
      shedBytes += heldBytes;
      lateBytes += connection.shed();
    }
    if (lateBytes > 0) talkers.hold();
    return { bytes: shedBytes, lateBytes };
  }

  async drain(graceMs: number): Promise<void> {
    this.#gate.stop();
    for (const each of this.#datagrams()) each.drain();
    for (const [id, open] of this.#doorsById) if (open.datagrams.length === 0) this.close(id);
    this.#sendAway(graceMs);
    if (this.connectionCount() > 0) await this.#empty(graceMs);
  }

  /** Ends whatever is open; resolves when each has told of its end, for it is one of the log. */
  async cutOff(): Promise<void> {
    for (const each of this.#datagrams()) each.close();
    this.#connections.forEach((connection) => {
      connection.destroy();
    });
    if (this.#connections.size > 0) await this.#empty(cutOffMs);
  }

  async #empty(graceMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#onEmpty = null;
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

  #datagrams(): UdpListener[] {
    return [...this.#doorsById.values()].flatMap((open) => open.datagrams);
  }

  /** Client connections, and flows of datagrams. */
  connectionCount(): number {
    return this.#datagrams().reduce((sum, each) => sum + each.size, this.#connections.size);
  }

  requestCount(): number {
    let count = 0;
    this.#connections.forEach((connection) => {
      count += connection.requestsInFlight;
    });
    return count;
  }
}

/** Who keeps less is not shed: as many as a worker may have do not fill it with that. */
const fewBytes = 4_096;

/** A handshake that is meant takes a journey there and back, and what a worker has to do meanwhile. */
const handshakePatienceMs = 500;

/** A handle closes within a turn or two of the loop. */
const cutOffMs = 1_000;

/** node:net has no public word for it. */
interface ListeningServer {
  readonly _handle: { readonly fd: number } | null;
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
