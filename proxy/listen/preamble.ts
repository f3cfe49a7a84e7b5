import type { HandleLink } from '../carry/handlelink.ts';
import type { Receiver } from '../carry/link.ts';
import type { Engine } from '../forward/engine.ts';
import type { Origin } from '../forward/flow.ts';
import { TcpFlow } from '../forward/tcpflow.ts';
import type { ResponseFlag } from '../observe/record.ts';
import { ClientHello, parseClientHello } from '../parse/clienthello.ts';
import { needsMore } from '../parse/head.ts';
import { ProxyHeader, parseProxyHeader } from '../parse/proxyheader.ts';
import type { Admission } from './admission.ts';
import { clock, readClock } from './clock.ts';
import { type Connection, restMs } from './connection.ts';
import type { Door } from './door.ts';
import { Nascent } from './nascent.ts';
import { originOf, originOfHeader } from './origin.ts';

export interface PreambleOptions {
  readonly engine: Engine;
  readonly door: Door;
  readonly link: HandleLink;
  readonly admission: Admission;
  /** Whether the server name in a ClientHello is wanted, behind the PROXY header if there is one. */
  readonly wantsName: boolean;
  /** Puts the connection into the place of the preamble. */
  replace(preamble: Preamble, connection: Connection): void;
  /**
   * All that was wanted has come. The range holds what was read behind the PROXY header, the ClientHello included; it is the
   * caller's for as long as the call lasts.
   */
  done(origin: Origin, serverName: string, buffer: Buffer, start: number, end: number): void;
}

/** A connection before its protocol begins: reads the PROXY header that its listener demands, and looks for a server name. */
export class Preamble extends Nascent implements Receiver {
  readonly #options: PreambleOptions;
  #origin: Origin;
  #isBehindHeader: boolean;
  #hello: ClientHello | null = null;
  #held = nothing;
  #heldBytes = 0;
  readonly #sinceMs = clock.nowMs;
  #isLeaving = false;
  #leavesAtMs = Number.POSITIVE_INFINITY;

  constructor(options: PreambleOptions) {
    const { admission, door, link, engine } = options;
    super(admission, door.proxy?.timeoutMs ?? engine.limits.handshakeMs);
    this.#options = options;
    this.#origin = originOf(link);
    this.#isBehindHeader = door.proxy === null;
    link.receiver = this;
  }

  get door(): Door {
    return this.#options.door;
  }

  override get heldBytes(): number {
    return this.#options.link.isDestroyed ? 0 : this.#held.length;
  }

  override shed(): number {
    this.admission.shed();
    this.#refuse('OM');
    return 0;
  }

  /** Begins to read, from a peer that may send a PROXY header; another one is refused before a byte of it is read. */
  begin(): void {
    const { door, link } = this.#options;
    if (door.proxy?.isSource(this.#origin.address) === false) this.#refuse('DPE');
    else link.resume();
  }

  receive(buffer: Buffer, start: number, end: number): void {
    readClock();
    if (this.#heldBytes === 0) {
      this.#read(buffer, start, end);
      return;
    }
    this.#hold(buffer, start, end);
    if (this.#heldBytes >= (this.#hello?.wantedBytes ?? 0)) this.#read(this.#held, 0, this.#heldBytes);
  }

  #read(buffer: Buffer, start: number, end: number): void {
    let at = start;
    if (!this.#isBehindHeader) {
      const header = new ProxyHeader();
      at = parseProxyHeader(header, buffer, start, end);
      if (at < 0) {
        this.#refuse('DPE');
        return;
      }
      if (at === needsMore) {
        this.#keep(buffer, start, end);
        return;
      }
      this.#isBehindHeader = true;
      this.#origin = originOfHeader(header, this.#origin);
      if (!this.#mayCome()) {
        this.#refuse('OM');
        return;
      }
      this.expiresAtMs = clock.nowMs + this.#options.engine.limits.handshakeMs;
    }
    let serverName = '';
    if (this.#options.wantsName) {
      this.#hello ??= new ClientHello();
      // What is no ClientHello has no server name; whoever gets the connection will say so in its own way.
      if (at === end || parseClientHello(this.#hello, buffer, at, end) === needsMore) {
        this.#keep(buffer, at, end);
        return;
      }
      serverName = this.#hello.serverName;
    }
    this.#options.done(this.#origin, serverName, buffer, at, end);
  }

  /** Limits are for clients, not for the proxy that stands before them. */
  #mayCome(): boolean {
    const { address, isTold } = this.#origin;
    const { door, wantsName } = this.#options;
    return !isTold || this.admission.told(address, door.isTrusted(address), door.isTls || wantsName) === null;
  }

  /** What is left to be read again with what comes next. */
  #keep(buffer: Buffer, start: number, end: number): void {
    if (buffer === this.#held) {
      buffer.copyWithin(0, start, end);
      this.#heldBytes = end - start;
    } else this.#hold(buffer, start, end);
  }

  /** Grows by doubling, so that a client that drips costs no more than its bytes. */
  #hold(buffer: Buffer, start: number, end: number): void {
    const bytes = this.#heldBytes + end - start;
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(1_024, 2 * bytes));
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
      this.#options.engine.pressure.putBy(larger.length);
    }
    buffer.copy(this.#held, this.#heldBytes, start, end);
    this.#heldBytes = bytes;
  }

  /** A client that says nothing and goes, as probes do, is nobody's business. */
  ended(): void {
    readClock();
    if (this.#heldBytes > 0) this.#refuse('DC');
    else this.#options.link.destroy();
  }

  /** One that resets what it has begun goes as one that ends it. */
  closed(): void {
    const { engine, link } = this.#options;
    if (link.fault !== '' && this.#heldBytes > 0) this.#refuse('DC');
    else engine.connectionClosed(this);
  }

  expired(): void {
    if (this.#isLeaving && this.#heldBytes === 0) this.destroy();
    else this.#refuse('DHT');
  }

  /** What its client has said may be on its way, as a request on an idle connection may be. */
  drain(): void {
    this.#isLeaving = true;
    if (this.#heldBytes === 0) this.expiresAtMs = Math.min(this.expiresAtMs, clock.nowMs + restMs);
  }

  leaveAt(atMs: number): void {
    this.#leavesAtMs = atMs;
  }

  /** Has the connection in its place, which is told to go if this one was. */
  become(connection: Connection): void {
    this.#options.replace(this, connection);
    if (this.#isLeaving) connection.drain();
    connection.leaveAt(this.#leavesAtMs);
  }

  destroy(): void {
    this.#options.link.destroy();
  }

  /** As a flow that goes nowhere: it is counted, logged and cut off like one. */
  #refuse(flag: ResponseFlag): void {
    const { engine, door, link, replace } = this.#options;
    const start = { door, link, origin: this.#origin, serverName: '', route: null, held: nothing };
    const flow = new TcpFlow(engine, start);
    flow.tellFrom(this.#sinceMs);
    replace(this, flow);
    flow.refuse(flag);
  }
}

const nothing = Buffer.alloc(0);
