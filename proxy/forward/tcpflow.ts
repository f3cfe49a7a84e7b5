import { type Link, lateBytesOf } from '../carry/link.ts';
import { readClock } from '../listen/clock.ts';
import type { Connection } from '../listen/connection.ts';
import type { Door } from '../listen/door.ts';
import type { CompiledL4Route } from '../match/l4matcher.ts';
import type { ResponseFlag } from '../observe/record.ts';
import { type Dialled, dial, lossOf, type Target } from './dial.ts';
import type { Engine } from './engine.ts';
import { type Failure, failures } from './failures.ts';
import { Flow, type Origin } from './flow.ts';
import { FlowEnd } from './flowend.ts';
import { buildProxyHeader } from './proxyheader.ts';
import { chunkBytes } from './relay.ts';

/** What a TCP flow begins with. */
export interface TcpFlowStart {
  readonly door: Door;
  /** The client's; nothing is read from it before the backend is there. */
  readonly link: Link;
  readonly origin: Origin;
  /** SNI; '' where it was not looked for. */
  readonly serverName: string;
  readonly route: CompiledL4Route | null;
  /** What was read already and belongs to the backend; empty: nothing. */
  readonly held: Buffer;
}

/** One TCP connection of a client and the one that carries it on to an endpoint. */
export class TcpFlow extends Flow implements Connection {
  readonly protocol = 'TCP';
  expiresAtMs = Number.POSITIVE_INFINITY;
  sweepIndex = -1;
  readonly proof = null;
  readonly requestsInFlight = 0;
  readonly requests = 0;
  lastRequest = 0;
  requestsSeen = 0;
  idleLooks = 0;
  readonly isIdle = false;
  readonly idleSinceMs = 0;
  readonly door: Door;
  readonly #client: FlowEnd;
  #upstream: UpstreamEnd | null = null;
  #held: Buffer;

  constructor(engine: Engine, { door, link, origin, serverName, route, held }: TcpFlowStart) {
    super(engine, route, origin, serverName);
    this.door = door;
    this.#held = held;
    this.#client = new FlowEnd(this);
    this.#client.link = link;
    link.receiver = this.#client;
    this.bytesReceived = held.length;
  }

  get heldBytes(): number {
    return this.isOver ? 0 : this.#held.length + this.#client.heldBytes + (this.#upstream?.heldBytes ?? 0);
  }

  /** Goes on to an endpoint, or refuses the client. */
  begin(): void {
    if (this.chooseBackend()) this.#try(null);
    else this.#end(this.flag);
  }

  /** Goes nowhere. */
  refuse(flag: ResponseFlag): void {
    this.#end(flag);
  }

  /** @param failure of the try before; null: there was none */
  #try(failure: Failure | null): void {
    const endpoint = this.nextEndpoint(failure);
    if (endpoint === null) {
      this.#end(this.flag);
      return;
    }
    this.expiresAtMs = this.deadline(this.route?.row.timeouts.connectMs);
    const upstream = new UpstreamEnd(this);
    this.#upstream = upstream;
    dial(upstream, endpoint, plain);
  }

  connected(upstream: UpstreamEnd): void {
    readClock();
    if (upstream !== this.#upstream) return;
    this.gotAnswer();
    this.#touch();
    upstream.other = this.#client;
    this.#client.other = upstream;
    const version = this.route?.row.sendProxyProtocol ?? null;
    if (version !== null) upstream.link.write(buildProxyHeader(version, this.origin));
    if (this.#held.length > 0) upstream.link.write(this.#held);
    this.#held = nothing;
    this.#client.link.resume();
  }

  moved(from: FlowEnd, bytes: number): void {
    if (from === this.#client) this.bytesReceived += bytes;
    else this.bytesSent += bytes;
    this.#touch();
  }

  #touch(): void {
    this.expiresAtMs = this.deadline(this.route?.row.timeouts.idleMs);
  }

  mayTakeChunk(): boolean {
    return this.engine.pressure.hasRoomFor(chunkBytes);
  }

  stalled(): void {
    this.engine.pressure.putBy(chunkBytes);
  }

  endClosed(end: FlowEnd): void {
    const upstream = this.#upstream;
    if (this.isOver || (end !== this.#client && end !== upstream)) return;
    if (end === upstream && upstream.other === null) {
      this.#tryFailed(lossOf(end.link, '', true));
      return;
    }
    const isWhole = this.#client.hasEnded && upstream?.hasEnded === true && end.link.fault === '';
    if (!isWhole) this.#end(end === this.#client ? 'DC' : 'UC');
    else if (this.#client.isClosed && upstream.isClosed) this.#end('-');
  }

  /** The endpoint did not take the connection: nothing was sent, so another one may. */
  #tryFailed(failure: Failure): void {
    this.#upstream = null;
    this.endTry(failure.result);
    // What is kept for later is needed now.
    if (failure === failures.exhausted) this.engine.pools.closeIdle();
    if (this.mayRetry()) this.#try(failure);
    else this.#end(failure.flag);
  }

  expired(): void {
    const upstream = this.#upstream;
    if (upstream !== null && upstream.other === null) {
      this.#upstream = null;
      upstream.link.destroy();
      this.#tryFailed(failures.connectTimeout);
    } else this.#end('SI');
  }

  /** Goes on: its client was promised nothing about when it ends. */
  drain(): void {}

  /** Nor are there words to tell it to go. */
  leaveAt(): void {}

  destroy(): void {
    this.#end(this.engine.isOver ? 'GE' : 'DC');
  }

  shed(): number {
    const { link } = this.#client;
    const lateBytes = lateBytesOf(link);
    link.counter?.shed();
    this.#end('OM');
    return lateBytes;
  }

  /** Both ends are cut off unless they have closed by themselves. */
  #end(flag: ResponseFlag): void {
    if (!this.finish(flag)) return;
    this.expiresAtMs = Number.POSITIVE_INFINITY;
    this.#held = nothing;
    if (!this.#client.isClosed) this.#client.cutOff();
    if (this.#upstream?.isClosed === false) this.#upstream.cutOff();
    this.engine.connectionClosed(this);
  }
}

/** The backend's end. It has no other one until it is connected. */
class UpstreamEnd extends FlowEnd implements Dialled {
  readonly #flow: TcpFlow;

  constructor(flow: TcpFlow) {
    super(flow);
    this.#flow = flow;
  }

  connected(): void {
    this.#flow.connected(this);
  }
}

const nothing = Buffer.alloc(0);
const plain: Target = { tls: null, session: null };
