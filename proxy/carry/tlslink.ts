import type { X509Certificate } from 'node:crypto';
import type { SecureContext } from 'node:tls';
import { endOfFile, lastRead, newTls, type StreamHandle, type TcpHandle, type TlsHandle } from './handle.ts';
import { HandleLink, shortBytes } from './handlelink.ts';
import { sentBeside, shownCertificate } from './shown.ts';
import { talkers } from './talkers.ts';

/** Who has TLS made of an accepted connection. */
export interface Secured {
  /**
   * The ClientHello has come.
   *
   * @param goOn asks for the context and does what costs time: to be called once, now or later
   */
  helloCame(goOn: () => void): void;
  /**
   * @param serverName as sent; '' without
   * @returns the context to go on with; undefined: the handshake is refused
   */
  contextFor(serverName: string): SecureContext | undefined;
  /** The handshake is done. The receiver is told of bytes from now on. */
  secured(): void;
}

export interface TlsTerms {
  /** What the handshake begins with: versions, suites, groups and ticket keys come from here, and that no client negotiates anew. */
  readonly context: SecureContext;
  /** Protocols in the order of our liking, as in the extension (RFC 7301 §3.1). A client that offers none of them is refused. */
  readonly protocols: Buffer;
  readonly asksForCertificate: boolean;
}

/** More waits in TLS than in the kernel: what is written is not sent before the end of a turn. */
const mostUnsentBytes = 65_536;

/**
 * Node has one read of the kernel take as much, in memory of its own that it keeps for as long as the connection is there. A client
 * that sends little leaves most of it untouched, and so it is no memory of the machine.
 */
const readBytes = 65_536;

/** Of the client; a certificate may be among it. */
const plainHandshakeBytes = 4_096;

/** OpenSSL has certificates as they came, and what it read of them (356 KB seen for 132 KB). */
const bytesPerShown = 3;

/** A record of one who sends much (RFC 8446 §5.1). */
const recordBytes = 16_384;

/** Between two looks; no client changes its keys more often than every few million records. */
const mostNewKeys = 128;

/** The server's side of a TLS connection, on Node's own handles. */
export class TlsLink extends HandleLink {
  readonly #tcp: TcpHandle;
  readonly #tls: TlsHandle;
  readonly #terms: TlsTerms;
  /** Until the handshake is done. */
  #owner: Secured | null;
  /** Between two looks. */
  #newKeys = 0;
  #roomBytes = 0;
  #hasReadMuch = false;
  /** Of the handshake, as far as it counts. */
  #shownBytes = 0;
  /** When it was last looked at. */
  #bytesRead = 0;

  /** Begins the handshake in begin(). */
  constructor(handle: TcpHandle, shared: Buffer, terms: TlsTerms, owner: Secured) {
    const tls = newTls(handle, terms.context);
    super(handle, tls, shared);
    this.#tcp = handle;
    this.#tls = tls;
    this.#terms = terms;
    this.#owner = owner;
    tls.onread = onRead;
    tls.onhandshakedone = onHandshakeDone;
    tls.onerror = onError;
    tls.oncertcb = onClientHello;
    tls.onnewsession = tls.onclienthello = ignore;
    if (terms.asksForCertificate) tls.setVerifyMode(true, false);
    tls.setALPNProtocols(terms.protocols);
    tls.enableCertCb();
    talkers.add(this);
  }

  /** @param held bytes of the client that were read already */
  begin(held: Buffer): void {
    this.resume();
    if (held.length > 0) this.#tls.receive(held);
  }

  override get copies(): boolean {
    return true;
  }

  protected override get isHeld(): boolean {
    return talkers.isHeld;
  }

  protected override get mostUnsentBytes(): number {
    return mostUnsentBytes;
  }

  protected override get saysGoodbye(): boolean {
    return this.#owner === null;
  }

  /** What TLS has decrypted may come after pause(), and must not go where an unfinished write reads from. */
  protected override get chunk(): null {
    return null;
  }

  /** '' when the client named none. Of a resumed session of TLS 1.2 it is '', too. */
  get serverName(): string {
    return this.#tls.getServername() || '';
  }

  get isH2(): boolean {
    return this.#tls.getALPNNegotiatedProtocol() === 'h2';
  }

  /** Why the certificate that the client showed is not trusted, as OpenSSL names it; '' when it is, null when none was asked for. */
  get peerFault(): string | null {
    if (!this.#terms.asksForCertificate) return null;
    if (this.isDestroyed) return unknownIssuer;
    const error = this.#tls.verifyError();
    if (error) return error.code;
    // A session of TLS 1.3 that was resumed without a certificate counts as verified to OpenSSL.
    return this.#tls.hasPeerCertificate() ? '' : unknownIssuer;
  }

  /** What the client has shown of itself; null: nothing. */
  peerCertificate(): X509Certificate | null {
    return this.isDestroyed ? null : shownCertificate(this.#tls);
  }

  /** What it sent beside; see sentBeside(). */
  sentBeside(): X509Certificate[] {
    return this.isDestroyed ? [] : sentBeside(this.#tls);
  }

  /**
   * A reset that TLS finds when it writes for itself, tickets for example, is told to nobody: it takes nothing to write any more, says
   * of nothing that it is written, and what is read next is an end like any other.
   */
  override read(count: number): Buffer | undefined {
    if (count !== endOfFile || this.isShutting || this.peerName.address !== undefined) return super.read(count);
    this.failed('ECONNRESET');
    return undefined;
  }

  /** TLS says that it was cut off by leaving out close_notify. */
  override reset(): void {
    this.destroy();
  }

  /**
   * OpenSSL answers KeyUpdate (RFC 8446 §4.6.3), and a ClientHello where nothing is negotiated anew, by itself, and keeps the
   * answers of a client that takes none for as long as it asks on.
   */
  look(): void {
    this.#newKeys = 0;
    if (this.isDestroyed) return;
    if (this.#owner !== null) this.#countShown();
    // What comes in short records is seen here only.
    const { bytesRead } = this.#tls;
    if (bytesRead - this.#bytesRead > shortBytes) this.roomTaken();
    this.#bytesRead = bytesRead;
    // What is ours counts double: it has grown by being encrypted.
    if (this.#tls.writeQueueSize > 2 * this.unsentBytes + mostUnsentBytes) this.#giveUp();
  }

  override get roomBytes(): number {
    return this.#roomBytes;
  }

  /** Much came at once. */
  roomTaken(): void {
    if (this.#hasReadMuch) return;
    this.#hasReadMuch = true;
    this.#count(readBytes);
  }

  #count(bytes: number): void {
    this.#roomBytes += bytes;
    talkers.roomBytes += bytes;
  }

  /** What a client shows of itself is kept as long as the connection is there. */
  #countShown(): void {
    const bytes = Math.max(0, this.#tcp.bytesRead - plainHandshakeBytes);
    this.#count((bytes - this.#shownBytes) * bytesPerShown);
    this.#shownBytes = bytes;
  }

  /** A KeyUpdate is 27 bytes and 11 µs, and all that has come are done in one turn: 20 clients took three seconds of everybody. */
  keyMade(): void {
    if (++this.#newKeys > mostNewKeys) this.#giveUp();
  }

  /** Nothing that is kept for the client is offered to it any longer. */
  #giveUp(): void {
    this.isFull = true;
    this.destroy();
  }

  override gone(): void {
    talkers.delete(this);
    talkers.roomBytes -= this.#roomBytes;
    this.#roomBytes = 0;
    this.#owner = null;
    this.#tls.destroySSL();
    super.gone();
  }

  // What the TLS handle tells, on OpenSSL's stack.

  /** Until it goes on, what follows stays with the kernel: OpenSSL would keep all of it, a gigabyte of some hundred clients that wait. */
  helloCame(serverName: string): void {
    this.pause();
    this.#owner?.helloCame(() => this.#goOn(serverName));
  }

  #goOn(serverName: string): void {
    this.resume();
    // Nobody has been told of a reset meanwhile, and what follows costs ten times as much as to ask.
    if (!this.isDestroyed && this.peerName.address === undefined) this.failed('ECONNRESET');
    const context = this.isDestroyed ? undefined : this.#owner?.contextFor(serverName);
    if (context === undefined) {
      this.destroy();
      return;
    }
    if (context !== this.#terms.context) this.#tls.sni_context = context.context as object;
    this.#tls.certCbDone();
    // With a second ClientHello (RFC 8446 §4.1.2) Node would go over to the whole context, in which nobody chooses a protocol.
    this.#tls.sni_context = undefined;
  }

  handshakeEnded(): void {
    const owner = this.#owner;
    this.#owner = null;
    if (this.#terms.asksForCertificate && !this.isDestroyed) this.#countShown();
    // Those of the handshake are nobody's business, and to be told of them takes time of it.
    this.#tls.onkeylog = onNewKey;
    if (!this.isDestroyed) owner?.secured();
  }

  failed(code: string): void {
    if (this.isDestroyed) return;
    this.fault = code;
    this.destroy();
  }
}

const unknownIssuer = 'UNABLE_TO_GET_ISSUER_CERT';

function ignore(): void {}

/** What the key is, is not looked at. */
function onNewKey(this: TlsHandle): void {
  (this.owner as TlsLink).keyMade();
}

function onRead(this: StreamHandle): Buffer | undefined {
  const count = lastRead();
  const link = this.owner as TlsLink;
  if (count === recordBytes) link.roomTaken();
  return link.read(count);
}

function onHandshakeDone(this: TlsHandle): void {
  (this.owner as TlsLink).handshakeEnded();
}

function onError(this: TlsHandle, error: { readonly code?: string }): void {
  (this.owner as TlsLink).failed(error.code ?? 'EPROTO');
}

function onClientHello(this: TlsHandle, { servername }: { readonly servername?: string }): void {
  (this.owner as TlsLink).helloCame(servername ?? '');
}
