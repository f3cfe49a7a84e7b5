import type { Link } from '../carry/link.ts';
import { bodyChunked } from '../parse/framing.ts';
import type { Head } from '../parse/head.ts';
import { lastChunk, requestTrailerLines } from '../parse/trailers.ts';
import type { Exchange } from './exchange.ts';
import { relay } from './relay.ts';

/** The half of an HTTP/1.1 backend connection that writes (RFC 9112). A head goes out with the first bytes of its body. */
export abstract class H1Request {
  exchange: Exchange | null = null;
  // Set right after construction: reads can start only in a later turn of the loop.
  link!: Link;
  /** Waits for the connection or for body bytes. */
  protected requestHead = '';

  get isFull(): boolean {
    return this.link.isFull;
  }

  get holdsLent(): boolean {
    return this.link.holdsLent;
  }

  get roomBytes(): number {
    return this.link.roomBytes;
  }

  /** Request bytes were written. */
  protected abstract sent(): void;

  flush(): void {
    const exchange = this.exchange as Exchange;
    exchange.isHeadPending = false;
    relay(this.link, this.requestHead, noBytes, 0, 0, '', false);
    this.requestHead = '';
    if (!exchange.isRequestComplete) this.sent();
  }

  writeBody(
    exchange: Exchange,
    buffer: Buffer,
    start: number,
    end: number,
    trailers: Head | null,
    isLent: boolean,
  ): void {
    let prefix = '';
    let suffix = '';
    if (exchange.isHeadPending) {
      prefix = this.requestHead;
      this.requestHead = '';
      exchange.isHeadPending = false;
    }
    if (exchange.bodyKind === bodyChunked) {
      if (end > start) {
        prefix += `${(end - start).toString(16)}\r\n`;
        suffix = '\r\n';
      }
      if (trailers !== null) suffix += lastChunk(requestTrailerLines(trailers));
    }
    if (prefix !== '' || suffix !== '' || end > start) relay(this.link, prefix, buffer, start, end, suffix, isLent);
    this.sent();
  }

  end(): void {
    this.link.end();
  }
}

const noBytes = Buffer.alloc(0);
