import type { Server } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { acceptMore } from './acceptqueue.ts';
import { limitUnsent } from './unsent.ts';

/**
 * Node's own handles: libuv's TCP connections and OpenSSL's on top of them, as node:net and node:tls use them. What is used of
 * connections without being documented stands in this file alone.
 *
 * A net.Socket is a stream with an event emitter around such a handle, and node:tls keeps two of them for each connection.
 * Side by side on Node 26 that costs a worker 10 µs of 69 for a connection that carries one request, 140 of 600 for a full
 * handshake, 2 of 14 for a request over TLS, and 4 KB of memory for an idle TLS connection; and it gives nothing that a
 * proxy uses.
 *
 * process.binding is deprecated in the documentation without an end; `checkHandles` says at start whether this Node has
 * everything that is used here.
 */
export interface StreamHandle {
  /** Whose it is: what is called back has only its handle to go by. */
  owner: object;
  /** What came is told by lastRead(); a buffer that is returned is where the next read goes. */
  onread: (this: StreamHandle) => Buffer | undefined;
  /** Reads go there. The handle does not keep the buffer alive. */
  useUserBuffer(buffer: Buffer): void;
  readStart(): number;
  readStop(): number;
  /** 0: all is written. An error number: nothing is. Otherwise the end of it is told later (`writeStatus`). */
  writeBuffer(request: null, bytes: Buffer): number | WriteRequest;
  writeLatin1String(request: null, text: string): number | WriteRequest;
  /** @param isAllBuffers false: each chunk is followed by the name of its encoding */
  writev(request: null, chunks: readonly (Buffer | string)[], isAllBuffers: boolean): number | WriteRequest;
  /** FIN; 0: `oncomplete` follows. */
  shutdown(request: ShutdownRequest): number;
}

export interface TcpHandle extends StreamHandle {
  /** So far, as they came. */
  readonly bytesRead: number;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
  /** Makes it that of a descriptor, which it closes from then on. */
  open(descriptor: number): number;
  setNoDelay(isOn: boolean): number;
  getpeername(name: SocketName): number;
  getsockname(name: SocketName): number;
  close(done: (this: TcpHandle) => void): void;
  /** RST. libuv refuses where a shutdown was asked for, and the handle is still open then. */
  reset(done: (this: TcpHandle) => void): number;
}

/** Left empty when the peer is gone. */
export interface SocketName {
  address?: string;
  port?: number;
}

/** A TLS connection upon a TcpHandle. It dies with the last reference to it, in the middle of whatever it does. */
export interface TlsHandle extends StreamHandle {
  /** Encrypted bytes that the connection beneath has not taken, whoever wrote them. Not to be asked once all is freed. */
  readonly writeQueueSize: number;
  /** Decrypted so far. */
  readonly bytesRead: number;
  onhandshakedone: (this: TlsHandle) => void;
  onerror: (this: TlsHandle, error: { readonly code?: string }) => void;
  /** The server name has come; certCbDone() goes on with `sni_context` or the context of the beginning. */
  oncertcb: (this: TlsHandle, info: { readonly servername?: string }) => void;
  onnewsession: () => void;
  onclienthello: () => void;
  onkeylog: () => void;
  sni_context: object | undefined;
  /** Has every connection of the context told of its secrets (`onkeylog`), those of KeyUpdate included. */
  enableKeylogCallback(): void;
  enableCertCb(): void;
  certCbDone(): void;
  setALPNProtocols(protocols: Buffer): void;
  setVerifyMode(requestsCertificate: boolean, rejects: boolean): void;
  /** Bytes that were read before TLS had the connection. */
  receive(bytes: Buffer): void;
  getServername(): string | false;
  getALPNNegotiatedProtocol(): string | false;
  /** As OpenSSL writes it (i2d_SSL_SESSION). */
  getSession(): Buffer | undefined;
  hasPeerCertificate(): boolean;
  verifyError(): { readonly code: string } | null | undefined;
  /** Frees what OpenSSL holds. Never inside one of its callbacks. */
  destroySSL(): void;
}

interface Request {
  handle: StreamHandle;
  oncomplete: (status: number) => void;
}

/** A write that was not done at once. */
export interface WriteRequest extends Request {
  /** What is being written: the collector must not have it. */
  data: Buffer | string | readonly (Buffer | string)[];
  /** How it ended, when that was before anybody could be told. */
  writeStatus: number | null;
}

type ShutdownRequest = Request;

export interface ConnectRequest {
  owner: object;
  oncomplete: (this: ConnectRequest, status: number) => void;
}

interface StreamBinding {
  readonly ShutdownWrap: new () => ShutdownRequest;
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteErr: number;
}

interface TcpBinding {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => ConnectRequest;
  readonly constants: { readonly SOCKET: number };
}

interface TlsBinding {
  wrap(handle: TcpHandle, context: object, isServer: boolean, hasWrites: boolean): TlsHandle;
}

interface Bindings {
  binding(name: 'stream_wrap'): StreamBinding;
  binding(name: 'tcp_wrap'): TcpBinding;
  binding(name: 'tls_wrap'): TlsBinding;
}

const bindings = process as unknown as Bindings;
const { ShutdownWrap, streamBaseState, kReadBytesOrError, kLastWriteErr } = bindings.binding('stream_wrap');
const { TCP, TCPConnectWrap, constants } = bindings.binding('tcp_wrap');
const { wrap } = bindings.binding('tls_wrap');

export const endOfFile = -4095;

/** For `onread`: how many bytes came, `endOfFile`, or another error number. */
export function lastRead(): number {
  return streamBaseState[kReadBytesOrError] as number;
}

/** After a write that gave a request: 0, or why it will not be done. */
export function lastWriteError(): number {
  return streamBaseState[kLastWriteErr] as number;
}

export function newShutdown(handle: StreamHandle, oncomplete: ShutdownRequest['oncomplete']): ShutdownRequest {
  const request = new ShutdownWrap();
  request.handle = handle;
  request.oncomplete = oncomplete;
  return request;
}

export function newTcp(): TcpHandle {
  return new TCP(constants.SOCKET);
}

export function newConnect(owner: object, oncomplete: ConnectRequest['oncomplete']): ConnectRequest {
  const request = new TCPConnectWrap();
  request.owner = owner;
  request.oncomplete = oncomplete;
  return request;
}

/** Begins the server's side of TLS upon a connection, of which the TLS handle gets all events from now on. */
export function newTls(handle: TcpHandle, context: SecureContext): TlsHandle {
  return wrap(handle, context.context as object, true, false);
}

/** Connections of the context tell `onkeylog` of each new key. Node has this only for one that is there. */
export function tellOfKeys(context: SecureContext): void {
  const handle = newTcp();
  const tls = newTls(handle, context);
  tls.enableKeylogCallback();
  handle.close(() => tls.destroySSL());
}

/** That of a connection of node:tls; null: it has ended. */
export function tlsHandleOf(socket: TLSSocket): TlsHandle | null {
  return (socket as unknown as { readonly _handle: TlsHandle | null })._handle;
}

/**
 * Asked where a connection of node:tls is at its end, within the call that says so: whether it was FIN that ended it, and no
 * close_notify. Both are told alike, but behind FIN libuv has stopped reading what lies beneath, and a connection that it reads it does
 * not begin to read. One that Node itself has stopped reading has not been asked for FIN.
 */
export function endedByFin(socket: TLSSocket): boolean {
  const { reading, _parent: beneath } = (tlsHandleOf(socket) ?? {}) as Partial<SocketHandle>;
  if (reading !== true || beneath?.readStart() !== 0) return false;
  beneath.readStop();
  return true;
}

/** As node:net and node:tls have it. */
interface SocketHandle extends TlsHandle {
  readonly reading: boolean;
  readonly _parent: TcpHandle;
}

type OnConnection = (status: number, handle: TcpHandle | undefined) => void;

/**
 * Has a listening server hand over what it accepts, before anything is made of it.
 *
 * @param perTurn how many may be accepted in a turn of the loop, while as many wait
 */
export function takeAccepted(server: Server, accepted: (handle: TcpHandle) => void, perTurn = () => 1): void {
  const listening = (server as unknown as { readonly _handle: ListeningHandle | null })._handle;
  if (typeof listening?.onconnection !== 'function') throw new UnknownNode('net.Server has no handle to accept from');
  // What is accepted has the options of the listening socket.
  listening.setNoDelay(true);
  limitUnsent(listening.fd);
  listening.onconnection = (status, handle) => {
    // A failed accept (out of descriptors) is tried again by libuv when the next connection comes.
    if (status !== 0 || handle === undefined) return;
    accepted(handle);
    for (let count = perTurn(); count > 1; count--) {
      const another = takeOne(listening);
      if (another === null) return;
      accepted(another);
    }
  };
}

/**
 * Closes a listening server, which hands over those who wait still. With its last descriptor a socket resets them, though they are
 * connected and may have sent a request. What is made of each takes time in which others would come, and so it is made afterwards.
 */
export function closeEmpty(server: Server): void {
  const listening = (server as unknown as { readonly _handle: ListeningHandle | null })._handle;
  const handles: TcpHandle[] = [];
  while (listening !== null && handles.length < mostAtTheEnd) {
    const handle = takeOne(listening);
    if (handle === null) break;
    handles.push(handle);
  }
  server.close();
  for (const handle of handles) listening?.onconnection(0, handle);
}

/** No queue is longer (Doors). */
const mostAtTheEnd = 4_096;

/** @returns null: nobody waits */
function takeOne(listening: ListeningHandle): TcpHandle | null {
  const descriptor = acceptMore(listening.fd);
  if (descriptor < 0) return null;
  const handle = newTcp();
  handle.open(descriptor);
  return handle;
}

interface ListeningHandle {
  readonly fd: number;
  onconnection: OnConnection;
  setNoDelay(isOn: boolean): number;
}

/** This Node is not made as the one that Sluice was written for. */
class UnknownNode extends Error {
  constructor(what: string) {
    super(`Sluice does not know its way around ${process.version}: ${what}; Node 26.10 is known to do`);
    this.name = 'UnknownNode';
  }
}

/**
 * At start, before anything is accepted: a Node without what is used here is to be noticed by its operator and not by clients.
 *
 * @param context whichever
 * @throws UnknownNode
 */
export function checkHandles(context: SecureContext): void {
  const handle = newTcp();
  lookFor(handle, ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'writeLatin1String', 'writev', 'shutdown']);
  lookFor(handle, ['connect', 'connect6', 'open', 'setNoDelay', 'getpeername', 'getsockname', 'close', 'reset']);
  if (!(streamBaseState instanceof Int32Array) || !(kReadBytesOrError >= 0) || !(kLastWriteErr >= 0))
    throw new UnknownNode('it says nowhere how many bytes were read');
  // Written without a request, to a socket that is not connected: an error number, where older ones throw or abort.
  if (!(Number(handle.writeBuffer(null, Buffer.from('x'))) < 0)) throw new UnknownNode('writes answer otherwise');
  const tls = newTls(handle, context);
  lookFor(tls, ['useUserBuffer', 'readStart', 'writeBuffer', 'shutdown', 'enableCertCb', 'certCbDone', 'destroySSL']);
  lookFor(tls, ['setALPNProtocols', 'setVerifyMode', 'receive', 'getServername', 'getALPNNegotiatedProtocol']);
  lookFor(tls, ['getSession', 'getPeerX509Certificate', 'hasPeerCertificate', 'verifyError']);
  lookFor(tls, ['enableKeylogCallback']);
  if (tls.writeQueueSize !== 0 || tls.bytesRead !== 0 || handle.bytesRead !== 0)
    throw new UnknownNode('TLS does not tell what it holds');
  handle.close(() => tls.destroySSL());
}

function lookFor(handle: object, names: readonly string[]): void {
  for (const name of names) {
    if (typeof (handle as Record<string, unknown>)[name] !== 'function') throw new UnknownNode(`no ${name}`);
  }
}
