import zlib from 'node:zlib';
import type { Encoding } from '../filters/compression.ts';
import { finish } from '../listen/answer.ts';
import { readClock } from '../listen/clock.ts';
import { noTrailers } from '../parse/head.ts';
import { abandonAttempt, breakOff } from './attempt.ts';
import type { Engine } from './engine.ts';
import type { Exchange } from './exchange.ts';
import { failures } from './failures.ts';

/** Bytes that may wait to be compressed before the backend is paused. */
const mostWaitingBytes = 131_072;

/**
 * A response body on its way through a compressor. It stands between replyBody and the client's side, and outlives the
 * backend's part in the exchange: the compressor works in libuv's threads and ends in a turn of its own.
 */
export class ReplyEncoder {
  readonly #engine: Engine;
  readonly #exchange: Exchange;
  readonly #stream: EncoderStream;
  /** The body comes in its own time: what has come must not wait for more (server-sent events). */
  readonly #isLive: boolean;
  readonly #bytes: number;
  #isFlushDue = false;
  #isEndDue = false;
  #isOver = false;

  constructor(engine: Engine, exchange: Exchange, encoding: Encoding, isLive: boolean) {
    this.#engine = engine;
    this.#exchange = exchange;
    this.#isLive = isLive;
    this.#stream = openStream(encoding);
    this.#stream.on('data', (bytes: Buffer) => this.#encoded(bytes));
    this.#stream.on('end', () => this.#ended());
    this.#stream.on('drain', () => this.#drained());
    // Of a compressor that was given bytes there is none to expect but want of memory.
    this.#stream.on('error', () => this.#failed());
    this.#bytes = encoderBytes(encoding);
    engine.encoders.open++;
    engine.encoders.bytes += this.#bytes;
  }

  get isFull(): boolean {
    return this.#stream.writableLength >= mostWaitingBytes || this.#exchange.client?.isFull === true;
  }

  /** Copies: the range may lie in a shared buffer. */
  write(buffer: Buffer, start: number, end: number): void {
    if (end === start) return;
    this.#stream.write(Buffer.from(buffer.subarray(start, end)), this.#written);
    if (!this.#isLive || this.#isFlushDue) return;
    // Once per turn: pieces of one read leave together.
    this.#isFlushDue = true;
    setImmediate(() => {
      this.#isFlushDue = false;
      if (!this.#isOver && !this.#isEndDue && !this.#stream.writableEnded) flush(this.#stream);
    });
  }

  /** The backend's part is over; the exchange ends when all is compressed and written. */
  end(): void {
    // Node finishes with the last bytes that it knows to be the last, and then once more: of zstd that is another, empty frame,
    // for which some decoders are not made.
    if (this.#stream.writableLength === 0) this.#stream.end();
    else this.#isEndDue = true;
  }

  /** The client has taken what waited for it. */
  clientDrained(): void {
    if (this.#stream.isPaused()) this.#stream.resume();
    if (!this.isFull) this.#exchange.upstream?.resume();
  }

  /** The exchange is over, whole or not. */
  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#engine.encoders.open--;
    this.#engine.encoders.bytes -= this.#bytes;
    this.#stream.destroy();
  }

  #encoded(bytes: Buffer): void {
    if (this.#isOver) return;
    readClock();
    const client = this.#exchange.client;
    client?.writeBody(this.#exchange, bytes, 0, bytes.length, null, true);
    if (client?.isFull) this.#stream.pause();
  }

  readonly #written = (): void => {
    if (this.#isEndDue && !this.#isOver && this.#stream.writableLength === 0) this.#stream.end();
  };

  #drained(): void {
    readClock();
    if (!this.#isOver && !this.isFull) this.#exchange.upstream?.resume();
  }

  #ended(): void {
    if (this.#isOver) return;
    readClock();
    const exchange = this.#exchange;
    exchange.client?.writeBody(exchange, noBytes, 0, 0, noTrailers, true);
    finish(this.#engine, exchange);
  }

  #failed(): void {
    if (this.#isOver) return;
    readClock();
    // What the backend still sends must find no exchange here: the object will be of another request.
    abandonAttempt(this.#exchange);
    breakOff(this.#engine, this.#exchange, failures.compressor);
  }
}

/** What one takes with what waits before and behind it, as measured: 1 MiB, but for brotli and zstd where they are at their heaviest. */
export function encoderBytes({ name, level }: Encoding): number {
  if (name === 'br' && level >= 10) return 8 << 20;
  return name === 'zstd' && level > 9 ? 2 << 20 : 1 << 20;
}

const noBytes = Buffer.alloc(0);

type EncoderStream = zlib.Gzip | zlib.BrotliCompress | zlib.ZstdCompress;

function openStream({ name, level }: Encoding): EncoderStream {
  switch (name) {
    case 'gzip':
      return zlib.createGzip({ level });
    case 'br': {
      const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN } = zlib.constants;
      // A window of 512 KiB: the default of 4 MiB is memory per response that pages do not repay.
      return zlib.createBrotliCompress({ params: { [BROTLI_PARAM_QUALITY]: level, [BROTLI_PARAM_LGWIN]: 19 } });
    }
    case 'zstd': {
      const { ZSTD_c_compressionLevel, ZSTD_c_windowLog } = zlib.constants;
      return zlib.createZstdCompress({ params: { [ZSTD_c_compressionLevel]: level, [ZSTD_c_windowLog]: 19 } });
    }
  }
}

/** What was written comes out; the dictionary stays. */
function flush(stream: EncoderStream): void {
  // Of gzip the default would be a full flush, which forgets the dictionary.
  if (stream instanceof zlib.Gzip) stream.flush(zlib.constants.Z_SYNC_FLUSH);
  else stream.flush();
}
