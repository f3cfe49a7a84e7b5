import type { SecureContext } from 'node:tls';
import type { TcpHandle } from '../carry/handle.ts';
import type { Receiver } from '../carry/link.ts';
import { type Secured, TlsLink } from '../carry/tlslink.ts';
import type { Origin } from '../forward/flow.ts';
import { sharedClientBuffer } from '../forward/relay.ts';
import type { HandshakeFault } from '../observe/record.ts';
import { plainServerName } from '../parse/clienthello.ts';
import type { Admission } from './admission.ts';
import { ClientProof } from './clientproof.ts';
import type { Door } from './door.ts';
import { handshakeFaultOf } from './handshakefault.ts';
import { Nascent } from './nascent.ts';
import { peerOf } from './peer.ts';
import { seatHttp } from './seat.ts';
import type { ServerOptions } from './server.ts';
import type { Terms } from './terms.ts';
import { awaitTurn } from './turns.ts';

/** A connection whose TLS is to begin. */
export interface Upgrade {
  readonly handle: TcpHandle;
  readonly door: Door;
  readonly admission: Admission;
  /** Of the peer. */
  readonly address: string;
  /** As a PROXY header or the socket told it before TLS; null: nothing was looked into. */
  readonly origin: Origin | null;
  /** As read of the ClientHello; '' when it was not looked for, or there is none. */
  readonly serverName: string;
  /** What the host of the name wants of the handshake; null: what the listener says. */
  readonly terms: Terms | null;
}

/** A connection whose TLS is being negotiated: it is opened, or replaces what was open, and then begins. */
export class Handshake extends Nascent implements Receiver, Secured {
  readonly #options: ServerOptions;
  readonly #upgrade: Upgrade;
  #link: TlsLink | null = null;
  /** What ended it, where TLS does not say. */
  #fault: HandshakeFault = 'dropped';
  /** Bytes that came before TLS: those of a PROXY header. */
  #bytesBefore = 0;
  #isLeaving = false;
  #leavesAtMs = Number.POSITIVE_INFINITY;

  constructor(options: ServerOptions, upgrade: Upgrade) {
    super(upgrade.admission, options.engine.limits.handshakeMs);
    this.#options = options;
    this.#upgrade = upgrade;
  }

  get door(): Door {
    return this.#upgrade.door;
  }

  override get heldBytes(): number {
    return this.#link?.isDestroyed === false ? this.#link.roomBytes : 0;
  }

  override shed(): number {
    const { heldBytes } = this;
    this.admission.shed();
    this.destroy();
    return heldBytes;
  }

  /** @param held bytes of the client that were read already */
  begin(held: Buffer): void {
    const { engine, listenerId } = this.#options;
    const { handle, door, terms } = this.#upgrade;
    this.#bytesBefore = handle.bytesRead - held.length;
    this.admission.secure();
    const context = engine.tables.firstContext(listenerId, terms);
    if (context === undefined) {
      this.#fault = 'name';
      handle.close(() => this.#gone());
      return;
    }
    const protocols = door.http2 ? protocolsWithH2 : protocolsWithoutH2;
    const wanted = { context, protocols, asksForCertificate: terms?.trust != null };
    this.#link = new TlsLink(handle, sharedClientBuffer, wanted, this);
    this.#link.receiver = this;
    this.#link.counter = this.admission;
    this.#link.begin(held);
  }

  #gone(): void {
    this.closed();
    this.admission.left();
  }

  helloCame(goOn: () => void): void {
    awaitTurn(this.admission.source.key, goOn);
  }

  contextFor(serverName: string): SecureContext | undefined {
    const { engine, listenerId } = this.#options;
    const { terms } = this.#upgrade;
    const name = plainServerName(serverName);
    const context =
      name === ''
        ? engine.tables.firstContext(listenerId, terms)
        : engine.tables.secureContext(listenerId, name, terms);
    if (context === undefined) this.#fault = 'name';
    return context;
  }

  secured(): void {
    const link = this.#link as TlsLink;
    const { door, address, origin, serverName, terms } = this.#upgrade;
    this.admission.ready();
    if (link.roomBytes > 0) this.#options.engine.pressure.putBy(link.roomBytes);
    const proof = terms?.trust == null ? null : new ClientProof(link, terms.trust);
    // TLS 1.2 forgets the name when it resumes a session; what was read of the ClientHello does not.
    const peer = peerOf(door, address, serverName || plainServerName(link.serverName), origin, proof);
    const client = seatHttp(this.#options, link, peer, link.isH2);
    this.#options.replaced(this, client);
    // What it has shown was looked at by the material of the beginning, which may be out of force by now.
    if (this.#isLeaving || terms?.trust?.isGone === true) client.drain();
    client.leaveAt(this.#leavesAtMs);
  }

  receive(): void {}

  /** Before the handshake is done there is nobody to answer. */
  ended(): void {
    this.#fault = 'left';
    this.destroy();
  }

  closed(): void {
    const fault = this.#link?.fault ?? '';
    // Who only looks whether the port is open has begun nothing.
    const hasBegun = this.#upgrade.handle.bytesRead > this.#bytesBefore;
    if (hasBegun) this.#options.engine.observer.handshakeFailed(fault === '' ? this.#fault : handshakeFaultOf(fault));
    this.#options.engine.connectionClosed(this);
  }

  expired(): void {
    this.#fault = 'timeout';
    this.destroy();
  }

  /** It may still become a connection, which then is told to go. */
  drain(): void {
    this.#isLeaving = true;
  }

  leaveAt(atMs: number): void {
    this.#leavesAtMs = atMs;
  }

  destroy(): void {
    this.#link?.destroy();
  }
}

/** As in the extension (RFC 7301 §3.1), in the order of our liking. A client that speaks HTTP/1.0 may offer that name alone. */
const protocolsWithoutH2 = Buffer.from('\x08http/1.1\x08http/1.0', 'latin1');
const protocolsWithH2 = Buffer.concat([Buffer.from('\x02h2', 'latin1'), protocolsWithoutH2]);
