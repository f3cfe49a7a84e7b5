import dgram, { type Socket } from 'node:dgram';
import { clock, readClock } from '../listen/clock.ts';
import type { Expiring } from '../listen/sweep.ts';
import type { CompiledL4Route } from '../match/l4matcher.ts';
import type { ResponseFlag } from '../observe/record.ts';
import type { EndpointState } from '../select/types.ts';
import { ownShortage } from './dial.ts';
import type { Engine } from './engine.ts';
import { Flow, type Origin } from './flow.ts';

export interface UdpFlowStart {
  readonly route: CompiledL4Route | null;
  readonly origin: Origin;
  /** Endpoints that failed this client a moment ago. */
  readonly tried: readonly EndpointState[];
  /** Sends a datagram to the client. */
  answer(datagram: Buffer): void;
  /** The flow is over, and its client's next datagram begins another one. */
  over(flow: UdpFlow): void;
}

/**
 * The datagrams of one client address and port, on a socket of their own to one endpoint, so that its answers find back. It
 * ends by silence, as there is nothing else that would tell; or by the answers that the route expects.
 */
export class UdpFlow extends Flow implements Expiring {
  readonly protocol = 'UDP';
  expiresAtMs = 0;
  sweepIndex = -1;
  readonly #start: UdpFlowStart;
  #upstream: Socket | null = null;
  /** Else the error of it is on its way. */
  #isConnected = false;
  #questions = 0;
  #answers = 0;
  /** Since when the endpoint is not of the backend any more; Infinity while it is. */
  #goneAtMs = Number.POSITIVE_INFINITY;
  /** Nothing could be forwarded: datagrams are dropped until then. */
  #deafUntilMs = 0;

  constructor(engine: Engine, start: UdpFlowStart) {
    super(engine, start.route, start.origin, '');
    this.#start = start;
    const { attempts = 0 } = start.route?.row.retry ?? {};
    if (start.tried.length < attempts) this.tried.push(...start.tried);
  }

  /** Endpoints that failed, for the flow that follows. */
  get failed(): readonly EndpointState[] {
    return this.tried;
  }

  /**
   * Whether the client's next datagram is better off with a flow of its own: this one has failed; or its endpoint left the
   * backend and says nothing more, which most likely means that it is no more.
   */
  isFinished(): boolean {
    if (this.isOver) return clock.nowMs >= this.#deafUntilMs;
    // A row of another backend may name it still: then nobody tells.
    if (this.#goneAtMs === Number.POSITIVE_INFINITY && this.#hasLeft()) this.#goneAtMs = clock.nowMs;
    return clock.nowMs - this.#goneAtMs > goneGraceMs;
  }

  #hasLeft(): boolean {
    return this.backend !== null && this.endpoint?.isOf(this.backend.state) === false;
  }

  begin(): void {
    if (!this.chooseBackend()) {
      this.#refuse(this.flag);
      return;
    }
    const endpoint = this.nextEndpoint(null);
    if (endpoint === null) this.#refuse(this.flag);
    else this.#connect(endpoint);
  }

  #connect({ address, port }: EndpointState): void {
    const isV6 = address.includes(':');
    // Addresses need no resolver; with this one, bind and connect are done when they return.
    const upstream = dgram.createSocket({
      type: isV6 ? 'udp6' : 'udp4',
      lookup: (host, _options, done) => done(null, host, isV6 ? 6 : 4),
    });
    this.#upstream = upstream;
    upstream.on('message', (datagram) => this.#answered(datagram));
    upstream.on('error', (error: NodeJS.ErrnoException) => this.#broken(error));
    upstream.connect(port, address);
    this.#isConnected = isConnected(upstream);
    this.#touch();
  }

  fromClient(datagram: Buffer): void {
    if (this.isOver) {
      this.engine.observer.datagramDropped();
      return;
    }
    this.bytesReceived += datagram.length;
    this.#questions++;
    this.#touch();
    this.#send(datagram);
    if (this.#isAnswered()) this.#end('-');
  }

  /** What a slow way to the endpoint does not take waits in memory; a client that is faster loses datagrams, as on any such way. */
  #send(datagram: Buffer): void {
    const upstream = this.#upstream;
    if (upstream === null) return;
    if (!this.#isConnected || !takesMore(upstream, mostQueuedBytes)) this.engine.observer.datagramDropped();
    else upstream.send(datagram, this.#sent);
  }

  /** A connected socket hears of ICMP errors at its next call. Of what else may fail (a datagram too long for the path), only the datagram suffers. */
  readonly #sent = (error: NodeJS.ErrnoException | null): void => {
    if (error !== null && unreachable.has(error.code ?? '')) this.#broken(error);
  };

  #answered(datagram: Buffer): void {
    readClock();
    if (this.isOver) return;
    if (this.#answers++ === 0) this.gotAnswer();
    this.bytesSent += datagram.length;
    if (this.#goneAtMs < clock.nowMs) this.#goneAtMs = clock.nowMs;
    this.#touch();
    this.#start.answer(datagram);
    if (this.#isAnswered()) this.#end('-');
  }

  #isAnswered(): boolean {
    const responses = this.route?.row.responses ?? null;
    return responses !== null && this.#answers >= responses * this.#questions;
  }

  /** A client that has sent one datagram is mostly one who asks one question, as with DNS; its port is not used again. */
  #touch(): void {
    const idleAtMs = this.deadline(this.route?.row.timeouts.idleMs);
    const isTalk = this.#questions > 1;
    this.expiresAtMs = isTalk ? idleAtMs : Math.min(idleAtMs, clock.nowMs + this.engine.limits.udpQuestionMs);
  }

  #broken(error: NodeJS.ErrnoException): void {
    readClock();
    if (this.isOver) return;
    const code = error.code ?? '';
    // No socket can be had: that is our own need, and no endpoint's fault.
    if (ownShortage.has(code) || code === noPortLeft) {
      this.engine.pools.closeIdle();
      this.#refuse('OM');
      return;
    }
    // A router on the way may say of a datagram that it was too long: those after it are not.
    if (this.#isConnected && !unreachable.has(code)) return;
    this.endTry('local-failure');
    this.#end(this.#answers === 0 ? 'UF' : 'UC');
  }

  /** The endpoint left the tables: it takes no new flow, and keeps this one while it answers. */
  endpointGone(key: string): void {
    if (key === this.upstreamHost) this.#goneAtMs = clock.nowMs;
  }

  /** What failed, and one question that has its answer, is over; other clients may have more to say. */
  drain(): void {
    if (this.isOver || (this.#questions === 1 && this.#answers > 0)) this.destroy();
  }

  expired(): void {
    this.#end('-');
    this.#start.over(this);
  }

  destroy(): void {
    this.#end(this.engine.isOver ? 'GE' : '-');
    this.#start.over(this);
  }

  #refuse(flag: ResponseFlag): void {
    this.#deafUntilMs = clock.nowMs + deafMs;
    this.#end(flag);
  }

  /** What failed stays known for a moment, so that the client's next datagram finds another endpoint. */
  #end(flag: ResponseFlag): void {
    if (!this.finish(flag)) return;
    this.#upstream?.close();
    this.#upstream = null;
    if (flag === '-') this.#start.over(this);
    else this.expiresAtMs = clock.nowMs + Math.max(deafMs, this.engine.limits.udpQuestionMs);
  }
}

/** Whether another datagram may wait on a socket. Small ones cost more than their bytes. */
export function takesMore(socket: Socket, mostBytes: number): boolean {
  return socket.getSendQueueSize() <= mostBytes && socket.getSendQueueCount() <= mostBytes >> 8;
}

/** ICMP answers that come back as errors, and what the kernel says of a route that leads nowhere. */
const unreachable: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'ENONET',
  'ENOPROTOOPT',
  'EACCES',
  'EINVAL',
]);

/** Of a socket that asks for any; a connection of TCP would be told EADDRNOTAVAIL. */
const noPortLeft = 'EADDRINUSE';

/** Where no route leads, connect() has failed when it returns, and send() would throw. */
function isConnected(socket: Socket): boolean {
  try {
    socket.remoteAddress();
    return true;
  } catch {
    return false;
  }
}

/** A client without an endpoint is tried again after this, ms: one line of the log per second and client, not one per datagram. */
const deafMs = 1_000;
/** How long an endpoint that left the tables may be silent to a client that asks, ms. */
const goneGraceMs = 5_000;
/** Of one flow, behind what the kernel holds (208 KB). */
const mostQueuedBytes = 262_144;
