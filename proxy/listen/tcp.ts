import net, { type Server } from 'node:net';
import { HandleLink } from '../carry/handlelink.ts';
import type { Origin } from '../forward/flow.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import { TcpFlow } from '../forward/tcpflow.ts';
import { acceptThrough } from './accept.ts';
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
    isNascent: () => options.door().proxy !== null || engine.tables.hasServerNames(listenerId),
    arrived({ handle, source }) {
      const link = new HandleLink(handle, handle, sharedClientBuffer);
      const admission = new Admission(gate, source);
      link.counter = admission;
      const door = options.door();
      const wantsName = engine.tables.hasServerNames(listenerId);
      if (door.proxy !== null || wantsName) {
        lookInto(options, link, admission, wantsName);
        return;
      }
      admission.ready();
      const flow = newFlow(options, door, link, originOf(link), '', nothing);
      opened(flow);
      flow.begin();
    },
  });
  return server;
}

function lookInto(options: ServerOptions, link: HandleLink, admission: Admission, wantsName: boolean): void {
  const { engine, opened, replaced } = options;
  const door = options.door();
  const preamble = new Preamble({
    engine,
    door,
    link,
    admission,
    wantsName,
    replace: replaced,
    done(origin, serverName, buffer, start, end) {
      admission.ready();
      link.pause();
      const flow = newFlow(options, door, link, origin, serverName, Buffer.from(buffer.subarray(start, end)));
      preamble.become(flow);
      flow.begin();
    },
  });
  opened(preamble);
  preamble.begin();
}

function newFlow(
  { engine, listenerId }: ServerOptions,
  door: Door,
  link: HandleLink,
  origin: Origin,
  serverName: string,
  held: Buffer,
): TcpFlow {
  const route = engine.tables.matchL4(listenerId, serverName);
  return new TcpFlow(engine, { door, link, origin, serverName, route, held });
}

const nothing = Buffer.alloc(0);
