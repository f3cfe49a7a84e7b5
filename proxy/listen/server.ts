import net, { type Server, type Socket } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Engine } from '../forward/engine.ts';
import { plainAddress } from '../match/ranges.ts';
import { acceptThrough } from './accept.ts';
import { Accepted, nobody } from './accepted.ts';
import { Admission } from './admission.ts';
import { ClientProof } from './clientproof.ts';
import type { Connection } from './connection.ts';
import type { Door } from './door.ts';
import type { Gate } from './gate.ts';
import { peerOf } from './peer.ts';
import { Preamble } from './preamble.ts';
import { seatHttp } from './seat.ts';
import { TermsServers } from './termsservers.ts';
import { TlsUpgrades } from './tlsupgrades.ts';

export interface ServerOptions {
  readonly engine: Engine;
  readonly gate: Gate;
  /** The door as it is at the moment of the connection: rows change while the port stays. */
  door(): Door;
  opened(connection: Connection): void;
  /** It speaks another protocol than it was opened with. */
  replaced(before: Connection, now: Connection): void;
  readonly listenerId: string;
}

/** An http listener. */
export function createPlainServer(options: ServerOptions): Server {
  const { gate, door, opened } = options;
  const server = net.createServer();
  acceptThrough(server, {
    gate,
    door,
    arrived({ handle, address, source }) {
      const accepted = Accepted.ofHandle(handle);
      const admission = new Admission(gate, source);
      accepted.socket.on('close', () => admission.left());
      if (door().proxy !== null) {
        acceptProxied(options, accepted, admission);
        return;
      }
      admission.ready();
      opened(seatHttp(options, accepted, peerOf(door(), address, '', null, null), false));
      accepted.socket.resume();
    },
  });
  return server;
}

function acceptProxied(options: ServerOptions, accepted: Accepted, admission: Admission): void {
  const { engine, opened, replaced } = options;
  const door = options.door();
  const preamble = new Preamble({
    engine,
    door,
    accepted,
    admission,
    wantsName: false,
    replace: replaced,
    done(origin, _serverName, buffer, start, end) {
      admission.ready();
      const client = seatHttp(options, accepted, peerOf(door, origin.address, '', origin, null), false);
      replaced(preamble, client);
      if (end > start) client.receive(buffer, start, end);
    },
  });
  opened(preamble);
  preamble.begin();
}

/** An https listener. */
export function createTlsServer(options: ServerOptions, secure: tls.TlsOptions): Server {
  const { engine, gate, door } = options;
  const settings: tls.TlsOptions = {
    ...secure,
    handshakeTimeout: engine.limits.handshakeMs,
    allowHalfOpen: true,
    noDelay: true,
  };
  const server = tls.createServer(settings);
  const admissions = new WeakMap<Socket, Admission>();
  let arriving: Admission | null = null;
  const watch = (socket: Socket, admission: Admission): void => {
    admissions.set(socket, admission);
    gate.secure++;
    socket.on('close', () => {
      gate.secure--;
      admission.left();
    });
  };
  const onSecure = (socket: TLSSocket): void => {
    const below = socketBelow(socket);
    if (below !== null) admissions.get(below)?.ready();
    secured(options, socket, below === null ? undefined : upgrades.of(below));
  };
  const others = new TermsServers(engine, options.listenerId, settings, onSecure);
  const upgrades = new TlsUpgrades(options, (socket, admission, terms) => {
    if (terms === null) {
      arriving = admission;
      server.emit('connection', socket);
      return;
    }
    watch(socket, admission);
    others.for(terms).emit('connection', socket);
  });
  acceptThrough(server, {
    gate,
    door,
    arrived(arrival, goOn) {
      if (upgrades.take(arrival)) return;
      arriving = new Admission(gate, arrival.source);
      goOn();
    },
  });
  // Emitted inside goOn, or by upgrades, with the socket below TLS.
  server.prependListener('connection', (socket: Socket) => {
    watch(socket, arriving as Admission);
  });
  server.on('secureConnection', onSecure);
  // A failed handshake is the peer's affair; without a listener here its socket would stay.
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return server;
}

/** Where node:tls keeps the socket below a TLS socket. */
function socketBelow(socket: TLSSocket): Socket | null {
  return (socket as unknown as { readonly _parent: Socket | null })._parent;
}

function secured(options: ServerOptions, socket: TLSSocket, upgrade: ReturnType<TlsUpgrades['of']>): void {
  const accepted = Accepted.ofTls(socket);
  // TLS 1.2 forgets the name when it resumes a session; what was read of the ClientHello does not.
  const name = upgrade?.serverName || (typeof socket.servername === 'string' ? socket.servername : '');
  const trust = upgrade?.terms?.trust ?? null;
  const proof = trust === null ? null : new ClientProof(socket, trust);
  const address = plainAddress(socket.remoteAddress ?? '');
  const peer = peerOf(upgrade?.preamble.door ?? options.door(), address, name, upgrade?.origin ?? null, proof);
  const client = seatHttp(options, accepted, peer, socket.alpnProtocol === 'h2');
  if (upgrade === undefined) {
    options.opened(client);
    return;
  }
  upgrade.accepted.receiver = nobody;
  options.replaced(upgrade.preamble, client);
}
