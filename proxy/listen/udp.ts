import dgram, { type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { L4Route } from '#table/l4route.ts';
import type { Engine } from '../forward/engine.ts';
import { takesMore, UdpFlow } from '../forward/udpflow.ts';
import type { CompiledL4Route } from '../match/l4matcher.ts';
import { plainAddress } from '../match/ranges.ts';
import { readClock } from './clock.ts';
import type { SocketHandle } from './sockets.ts';
import { Sweep } from './sweep.ts';
import { UdpRoom } from './udproom.ts';

/** Where a listener binds, or a socket that is bound already. */
export type Place = SocketHandle | { readonly port: number; readonly host?: string };

export interface UdpListenerStart {
  readonly engine: Engine;
  readonly listenerId: string;
  /** Shared by all listeners of the worker. */
  readonly room: UdpRoom;
  /** How many of them there may be. */
  readonly clients: L4Route['clients'];
  /** The last flow has ended. */
  onEmpty(): void;
}

/**
 * One socket of a udp listener and the flows of its clients. The kernel gives a client's datagrams to the same worker for as long
 * as the number of sockets on the port stays what it is (SO_REUSEPORT hashes addresses and ports).
 */
export class UdpListener {
  readonly port: number;
  readonly #engine: Engine;
  readonly #listenerId: string;
  readonly #socket: Socket;
  readonly #flowsByClient = new Map<string, UdpFlow>();
  readonly #room: UdpRoom;
  readonly #clients: L4Route['clients'];
  /** Its own, for the limits of its route. */
  readonly #ownRoom = new UdpRoom();
  readonly #sweep = new Sweep<UdpFlow>();
  readonly #onEmpty: () => void;
  #isClosing = false;

  private constructor(start: UdpListenerStart, socket: Socket) {
    this.#engine = start.engine;
    this.#listenerId = start.listenerId;
    this.#room = start.room;
    this.#clients = start.clients;
    this.#onEmpty = start.onEmpty;
    this.#socket = socket;
    this.port = socket.address().port;
    socket.on('message', (datagram, from) => this.#received(datagram, from));
    // A datagram that cannot be received or sent is lost, as datagrams are.
    socket.on('error', () => {});
  }

  /**
   * @param place port and perhaps host, as of net.Server; or a bound handle of the primary
   * @throws the system's error when the port cannot be had
   */
  static open(start: UdpListenerStart, place: Place): Promise<UdpListener> {
    const family = 'getsockname' in place ? familyOf(place) : isIPv6(place.host ?? '::') ? 6 : 4;
    const socket = dgram.createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      // Answers go to addresses, which need no resolver.
      lookup: (host, _options, done) => done(null, host, family),
      recvBufferSize: receiveBytes,
    });
    return new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.once('listening', () => {
        socket.removeListener('error', reject);
        resolve(new UdpListener(start, socket));
      });
      if ('getsockname' in place) socket.bind(place as dgram.BindOptions);
      else socket.bind(place.port, place.host);
    });
  }

  get size(): number {
    return this.#sweep.size;
  }

  /** Takes no new clients; those that are there go on. */
  drain(): void {
    this.#isClosing = true;
    this.#sweep.forEach((flow) => {
      flow.drain();
    });
  }

  /** Ends everything: without the port there is no way for answers. */
  close(): void {
    this.#isClosing = true;
    this.#sweep.forEach((flow) => {
      flow.destroy();
    });
    this.#socket.close();
  }

  endpointGone(key: string): void {
    this.#sweep.forEach((flow) => {
      flow.endpointGone(key);
    });
  }

  #received(datagram: Buffer, from: RemoteInfo): void {
    readClock();
    const client = `${from.address} ${from.port}`;
    let flow = this.#flowsByClient.get(client);
    if (flow === undefined || flow.isFinished()) flow = this.#open(client, from, flow);
    if (flow === undefined) this.#engine.observer.datagramDropped();
    else flow.fromClient(datagram);
  }

  #open(client: string, from: RemoteInfo, before: UdpFlow | undefined): UdpFlow | undefined {
    before?.destroy();
    const route = this.#engine.tables.matchL4(this.#listenerId, '');
    if (this.#isClosing || this.#engine.pressure.isFull || !this.#hasRoomFor(from.address, route)) return undefined;
    const { address, port } = this.#socket.address();
    const flow: UdpFlow = new UdpFlow(this.#engine, {
      route,
      origin: {
        address: plainAddress(from.address),
        port: from.port,
        localAddress: address,
        localPort: port,
        isTold: false,
        wasTls: false,
      },
      tried: before?.failed ?? [],
      answer: (datagram) => this.#answer(datagram, from),
      over: () => this.#forget(client, from.address, flow),
    });
    this.#flowsByClient.set(client, flow);
    this.#room.take(from.address);
    this.#ownRoom.take(from.address);
    this.#sweep.add(flow);
    this.#engine.observer.connectionOpened(this.#listenerId);
    flow.begin();
    return flow;
  }

  #hasRoomFor(source: string, route: CompiledL4Route | null): boolean {
    if (!this.#room.hasRoomFor(source, this.#clients)) return false;
    return route === null || this.#ownRoom.hasRoomFor(source, route.row.clients);
  }

  #answer(datagram: Buffer, { address, port }: RemoteInfo): void {
    // Port 0 is that of a client who wants no answer (RFC 768), or of one who means harm, and nothing can be sent there.
    // What a full interface does not take waits in memory; a client that is answered faster than that loses datagrams.
    if (port === 0 || !takesMore(this.#socket, mostQueuedBytes)) this.#engine.observer.datagramDropped();
    else this.#socket.send(datagram, port, address, ignore);
  }

  #forget(client: string, source: string, flow: UdpFlow): void {
    if (this.#flowsByClient.get(client) !== flow) return;
    this.#flowsByClient.delete(client);
    this.#room.leave(source);
    this.#ownRoom.leave(source);
    this.#sweep.remove(flow);
    this.#engine.observer.connectionClosed(this.#listenerId);
    if (this.#sweep.size === 0) this.#onEmpty();
  }
}

/** Asked of the kernel, which gives up to net.core.rmem_max: a burst of large datagrams fills the usual 208 KB at once. */
const receiveBytes = 4 << 20;
const mostQueuedBytes = 4 << 20;

function ignore(): void {}

function familyOf(handle: SocketHandle): 4 | 6 {
  const name: { family?: string } = {};
  handle.getsockname(name);
  return name.family === 'IPv6' ? 6 : 4;
}
