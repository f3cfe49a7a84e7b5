import net, { type Server } from 'node:net';
import { HandleLink } from '../carry/handlelink.ts';
import type { Engine } from '../forward/engine.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import { acceptThrough } from './accept.ts';
import { Admission } from './admission.ts';
import type { Connection } from './connection.ts';
import type { Door } from './door.ts';
import type { Gate } from './gate.ts';
import { peerOf } from './peer.ts';
import { Preamble } from './preamble.ts';
import { seatHttp } from './seat.ts';

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
  const { gate, opened } = options;
  const server = net.createServer();
  acceptThrough(server, {
    gate,
    door: options.door,
    isNascent: () => options.door().proxy !== null,
    arrived({ handle, address, source }) {
      const door = options.door();
      const link = new HandleLink(handle, handle, sharedClientBuffer);
      const admission = new Admission(gate, source);
      link.counter = admission;
      if (door.proxy !== null) {
        acceptProxied(options, door, link, admission);
        return;
      }
      admission.ready();
      opened(seatHttp(options, link, peerOf(door, address, '', null, null), false));
      link.resume();
    },
  });
  return server;
}

function acceptProxied(options: ServerOptions, door: Door, link: HandleLink, admission: Admission): void {
  const { engine, opened, replaced } = options;
  const preamble = new Preamble({
    engine,
    door,
    link,
    admission,
    wantsName: false,
    replace: replaced,
    done(origin, _serverName, buffer, start, end) {
      admission.ready();
      const client = seatHttp(options, link, peerOf(door, origin.address, '', origin, null), false);
      preamble.become(client);
      if (end > start) client.receive(buffer, start, end);
    },
  });
  opened(preamble);
  preamble.begin();
}
