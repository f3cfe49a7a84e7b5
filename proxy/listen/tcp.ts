import net, { type Server } from 'node:net';
import type { Origin } from '../forward/flow.ts';
import { TcpFlow } from '../forward/tcpflow.ts';
import { acceptThrough } from './accept.ts';
import { Accepted } from './accepted.ts';
import { Admission } from './admission.ts';
import type { Door } from './door.ts';
import { originOf } from './origin.ts';
import { Preamble } from './preamble.ts';
import type { ServerOptions } from './server.ts';

/** A tcp listener: its connections go to the endpoints of an L4 route as they are. */
export function createTcpServer(options: ServerOptions): Server {
  const { engine, gate, listenerId, opened } = options;
  const server = net.createServer();
  acceptThrough(server, {
    gate,
    door: options.door,
    arrived({ handle, source }) {
      const accepted = Accepted.ofHandle(handle);
      const admission = new Admission(gate, source);
      accepted.socket.on('close', () => admission.left());
      const door = options.door();
      const wantsName = engine.tables.hasServerNames(listenerId);
      if (door.proxy !== null || wantsName) {
        lookInto(options, accepted, admission, wantsName);
        return;
      }
      admission.ready();
      const flow = newFlow(options, door, accepted, originOf(accepted.socket), '', nothing);
      opened(flow);
      flow.begin();
    },
  });
  return server;
}

function lookInto(options: ServerOptions, accepted: Accepted, admission: Admission, wantsName: boolean): void {
  const { engine, opened, replaced } = options;
  const door = options.door();
  const preamble = new Preamble({
    engine,
    door,
    accepted,
    admission,
    wantsName,
    replace: replaced,
    done(origin, serverName, buffer, start, end) {
      admission.ready();
      accepted.socket.pause();
      const flow = newFlow(options, door, accepted, origin, serverName, Buffer.from(buffer.subarray(start, end)));
      replaced(preamble, flow);
      flow.begin();
    },
  });
  opened(preamble);
  preamble.begin();
}

function newFlow(
  { engine, listenerId }: ServerOptions,
  door: Door,
  accepted: Accepted,
  origin: Origin,
  serverName: string,
  held: Buffer,
): TcpFlow {
  const route = engine.tables.matchL4(listenerId, serverName);
  return new TcpFlow(engine, { door, accepted, origin, serverName, route, held });
}

const nothing = Buffer.alloc(0);
