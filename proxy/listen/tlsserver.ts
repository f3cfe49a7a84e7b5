import net, { type Server } from 'node:net';
import { HandleLink } from '../carry/handlelink.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import { TcpFlow } from '../forward/tcpflow.ts';
import { acceptThrough } from './accept.ts';
import { Admission } from './admission.ts';
import type { Door } from './door.ts';
import { Handshake, type Upgrade } from './handshake.ts';
import { Preamble } from './preamble.ts';
import type { ServerOptions } from './server.ts';

/** An https listener. */
export function createTlsServer(options: ServerOptions): Server {
  const { engine, gate, listenerId } = options;
  const server = net.createServer();
  acceptThrough(server, {
    gate,
    door: options.door,
    isNascent: () => true,
    arrived({ handle, address, source }) {
      const door = options.door();
      const admission = new Admission(gate, source);
      const wantsName = engine.tables.hasServerNames(listenerId) || engine.tables.hasTerms(listenerId);
      if (door.proxy === null && !wantsName) {
        const handshake = new Handshake(options, { handle, door, admission, address, ...fromTheFirstByte });
        options.opened(handshake);
        handshake.begin(nothing);
        return;
      }
      const link = new HandleLink(handle, handle, sharedClientBuffer);
      link.counter = admission;
      lookInto(options, door, link, admission, wantsName);
    },
  });
  return server;
}

/**
 * Looks into a connection before its TLS begins: for a PROXY header, for the server names that L4 routes take, or for those
 * whose hosts have terms of their own. What no route takes goes on to TLS, which is given the bytes that were read.
 */
function lookInto(
  options: ServerOptions,
  door: Door,
  link: HandleLink,
  admission: Admission,
  wantsName: boolean,
): void {
  const { engine, listenerId, opened, replaced } = options;
  const preamble = new Preamble({
    engine,
    door,
    link,
    admission,
    wantsName,
    replace: replaced,
    done(origin, serverName, buffer, start, end) {
      link.pause();
      const held = Buffer.from(buffer.subarray(start, end));
      const route = wantsName ? engine.tables.matchL4(listenerId, serverName) : null;
      if (route === null) {
        const terms = wantsName ? engine.tables.terms(listenerId, serverName) : null;
        const { address } = origin;
        const handle = link.release();
        const handshake = new Handshake(options, { handle, door, admission, address, origin, serverName, terms });
        preamble.become(handshake);
        handshake.begin(held);
        return;
      }
      admission.ready();
      const flow = new TcpFlow(engine, { door, link, origin, serverName, route, held });
      preamble.become(flow);
      flow.begin();
    },
  });
  opened(preamble);
  preamble.begin();
}

const fromTheFirstByte: Pick<Upgrade, 'origin' | 'serverName' | 'terms'> = {
  origin: null,
  serverName: '',
  terms: null,
};
const nothing = Buffer.alloc(0);
