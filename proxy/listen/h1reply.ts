import { STATUS_CODES } from 'node:http';
import { type Link, lateBytesOf } from '../carry/link.ts';
import type { Exchange } from '../forward/exchange.ts';
import { relay, sharedClientBuffer } from '../forward/relay.ts';
import type { Peer } from '../forward/sides.ts';
import { bodyChunked, bodyUntilClose } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import type { ResponseLine } from '../parse/responsehead.ts';
import { lastChunk, replyTrailerLines } from '../parse/trailers.ts';
import type { ClientProof } from './clientproof.ts';
import { clock } from './clock.ts';
import type { Door } from './door.ts';
import { buildInterimLines, buildReplyHead, buildSwitchLines } from './replyhead.ts';

/**
 * The half of an HTTP/1 client connection that writes (RFC 9112). A head waits in `exchange.replyPrefix` for the body bytes of
 * the same read, so that both are one write.
 */
export abstract class H1Reply {
  readonly link: Link;
  readonly peer: Peer;
  /** The request that is being read or answered; null between two. */
  exchange: Exchange | null = null;

  constructor(link: Link, peer: Peer) {
    this.link = link;
    this.peer = peer;
  }

  get proof(): ClientProof | null {
    return this.peer.proof;
  }

  get door(): Door {
    return this.peer.door;
  }

  get requestsInFlight(): number {
    return this.exchange === null ? 0 : 1;
  }

  get isFull(): boolean {
    return this.link.isFull;
  }

  get holdsLent(): boolean {
    return this.link.holdsLent;
  }

  /** The answer waits for the client to read. */
  protected abstract writing(): void;

  /** 100, 102, 103: passed to clients that know them (RFC 9110 §15.2). */
  writeInterim(exchange: Exchange, line: ResponseLine, head: Head): void {
    if (exchange.line.version === 10) return;
    if (line.status === 100 && !exchange.expectsContinue) return;
    const reason = line.status === 103 ? 'Early Hints' : line.status === 100 ? 'Continue' : 'Processing';
    this.#writeHeadOf(exchange, `HTTP/1.1 ${line.status} ${reason}\r\n${buildInterimLines(line, head)}\r\n`);
  }

  /** Decides how the body goes to this client, and whether the connection can stay. */
  writeHead(exchange: Exchange, line: ResponseLine, head: Head): void {
    exchange.replyKind = exchange.encoder === null ? line.bodyKind : bodyChunked;
    if (exchange.replyKind === bodyChunked || exchange.replyKind === bodyUntilClose) {
      exchange.replyKind = exchange.line.version === 11 ? bodyChunked : bodyUntilClose;
      // The end of the connection is the only end that a 1.0 client can see.
      if (exchange.replyKind === bodyUntilClose) exchange.willClose = true;
    }
    exchange.replyPrefix = buildReplyHead(exchange, line, head, clock.nowMs);
  }

  flush(exchange: Exchange): void {
    if (exchange.replyPrefix !== '') this.writeBody(exchange, sharedClientBuffer, 0, 0, null, false);
  }

  writeBody(
    exchange: Exchange,
    buffer: Buffer,
    start: number,
    end: number,
    trailers: Head | null,
    isLent: boolean,
  ): void {
    let prefix = exchange.replyPrefix;
    let suffix = '';
    exchange.replyPrefix = '';
    if (exchange.replyKind === bodyChunked) {
      if (end > start) {
        prefix += `${(end - start).toString(16)}\r\n`;
        suffix = '\r\n';
      }
      if (trailers !== null) suffix += lastChunk(replyTrailerLines(trailers));
    }
    if (prefix === '' && suffix === '' && start === end) return;
    exchange.bytesSent += prefix.length + end - start + suffix.length;
    relay(this.link, prefix, buffer, start, end, suffix, isLent);
    if (this.link.isFull) this.writing();
  }

  writeAnswer(exchange: Exchange, status: number, lines: string, body: string): void {
    const bytes = Buffer.byteLength(body);
    const length = status === 204 ? '' : `Content-Length: ${bytes}\r\n`;
    const connection = exchange.willClose
      ? 'Connection: close\r\n'
      : exchange.line.version === 10
        ? 'Connection: keep-alive\r\n'
        : '';
    const text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines}${connection}${length}\r\n`;
    // Of a head that cannot be read no more than that may be known.
    const hasBody = exchange.line.method !== 'HEAD' && status !== 204 && status !== 304 && bytes > 0;
    this.link.write(Buffer.from(hasBody ? text + body : text));
    exchange.bytesSent += text.length + (hasBody ? bytes : 0);
  }

  startTunnel(exchange: Exchange, line: ResponseLine, head: Head): void {
    // What follows goes through writeBody unframed.
    exchange.replyKind = bodyUntilClose;
    const lines = buildSwitchLines(exchange, line, head);
    this.#writeHeadOf(
      exchange,
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${lines}\r\n`,
    );
  }

  /** One that has no body. */
  #writeHeadOf(exchange: Exchange, text: string): void {
    exchange.bytesSent += text.length;
    this.link.writeText(text);
  }

  end(): void {
    this.link.end();
  }

  /** To a client that reads until close, FIN is a clean end, so the connection is reset. */
  cutOff(): void {
    this.link.reset();
  }

  abstract closed(): void;

  /** The same of an answer that is cut off by whatever ends the connection. A WebSocket tells its end by a frame, which a reset could overtake. */
  destroy(): void {
    const { exchange } = this;
    if (exchange?.replyKind === bodyUntilClose && exchange.tunnel === null) this.link.reset();
    else this.link.destroy();
  }

  abstract readonly heldBytes: number;

  shed(): number {
    if (this.exchange !== null) this.exchange.flag = 'OM';
    const lateBytes = lateBytesOf(this.link) + (this.exchange?.upstream?.roomBytes ?? 0);
    this.link.counter?.shed();
    this.destroy();
    this.closed();
    return lateBytes;
  }
}
