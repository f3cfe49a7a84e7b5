/** One request as a tolerant reader sees it. Text is latin1, so every byte is kept. */
export interface SplitRequest {
  method: string;
  target: string;
  version: string;
  /** In the order and case of the wire; values without spaces and tabs around them, and nothing else trimmed. */
  fields: [name: string, value: string][];
  /** The head as it came, without the empty line. */
  head: string;
  /** Bytes of the body after chunked decoding. */
  bodyBytes: number;
  /** The first MiB of the body. */
  body: Buffer;
  /** Chunk-size lines as they came. */
  chunkLines: string[];
  /** Trailer lines as they came. */
  trailers: string[];
  /** The framing said that it ended; false while it arrives, and for ever when the connection ended first. */
  isComplete: boolean;
}

const keptBodyBytes = 1 << 20;

/**
 * Splits a byte stream into requests as carelessly as the worst backend would: bare LF ends a line, fields without
 * a colon are skipped, a Transfer-Encoding that mentions chunked wins over Content-Length, numbers are read by parseInt.
 * A strict reader would hide a bad forward behind its own 400, and the test would see nothing.
 */
export class RequestSplitter {
  readonly #onHead: (request: SplitRequest) => void;
  readonly #onEnd: (request: SplitRequest) => void;
  #pending: Buffer = Buffer.alloc(0);
  #request: SplitRequest | null = null;
  #left = 0;
  #state: 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailers' | 'opaque' = 'head';

  constructor(onHead: (request: SplitRequest) => void, onEnd: (request: SplitRequest) => void) {
    this.#onHead = onHead;
    this.#onEnd = onEnd;
  }

  /** From now on bytes are not requests (after an upgrade); they are left to the caller. */
  stop(): Buffer {
    this.#state = 'opaque';
    const rest = this.#pending;
    this.#pending = Buffer.alloc(0);
    return rest;
  }

  push(bytes: Buffer): void {
    if (this.#state === 'opaque') return;
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.#step());
  }

  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#readHead();
      case 'length':
      case 'chunk':
        return this.#readBody();
      case 'chunk-size':
        return this.#readSize();
      case 'chunk-end':
        if (this.#line() === null) return false;
        this.#state = 'chunk-size';
        return true;
      case 'trailers':
        return this.#readTrailer();
      case 'opaque':
        return false;
    }
  }

  #readHead(): boolean {
    let start = 0;
    while (this.#pending[start] === 13 || this.#pending[start] === 10) start++;
    const text = this.#pending.toString('latin1', start);
    const end = /\r?\n\r?\n/.exec(text);
    if (end === null) return false;
    this.#pending = this.#pending.subarray(start + end.index + end[0].length);
    const head = text.slice(0, end.index);
    const [line = '', ...rest] = head.split(/\r?\n/);
    const [method = '', target = '', version = ''] = line.split(' ');
    const fields = rest.flatMap((field): [string, string][] => {
      const colon = field.indexOf(':');
      return colon === -1 ? [] : [[field.slice(0, colon), field.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]];
    });
    const request: SplitRequest = {
      method,
      target,
      version,
      fields,
      head,
      bodyBytes: 0,
      body: Buffer.alloc(0),
      chunkLines: [],
      trailers: [],
      isComplete: false,
    };
    this.#request = request;
    const coding = fieldValue(request, 'transfer-encoding');
    const length = Number.parseInt(fieldValue(request, 'content-length') ?? '', 10);
    this.#state = coding?.toLowerCase().includes('chunked') ? 'chunk-size' : 'length';
    this.#left = this.#state === 'length' && length > 0 ? length : 0;
    this.#onHead(request);
    if (this.#state === 'length' && this.#left === 0) this.#finish();
    return true;
  }

  #readBody(): boolean {
    const part = this.#pending.subarray(0, this.#left);
    if (part.length === 0 && this.#left > 0) return false;
    const request = this.#request;
    if (request === null) return false;
    if (request.body.length < keptBodyBytes) request.body = Buffer.concat([request.body, part]);
    request.bodyBytes += part.length;
    this.#pending = this.#pending.subarray(part.length);
    this.#left -= part.length;
    if (this.#left > 0) return false;
    if (this.#state === 'length') this.#finish();
    else this.#state = 'chunk-end';
    return true;
  }

  #readSize(): boolean {
    const line = this.#line();
    if (line === null) return false;
    this.#request?.chunkLines.push(line);
    const parsed = Number.parseInt(line, 16);
    const size = Number.isNaN(parsed) ? 0 : Math.max(parsed, 0);
    this.#left = size;
    this.#state = size > 0 ? 'chunk' : 'trailers';
    return true;
  }

  #readTrailer(): boolean {
    const line = this.#line();
    if (line === null) return false;
    if (line === '') this.#finish();
    else this.#request?.trailers.push(line);
    return true;
  }

  #line(): string | null {
    const end = this.#pending.indexOf(10);
    if (end === -1) return null;
    const line = this.#pending.toString('latin1', 0, end).replace(/\r$/, '');
    this.#pending = this.#pending.subarray(end + 1);
    return line;
  }

  #finish(): void {
    const request = this.#request;
    this.#request = null;
    this.#state = 'head';
    if (request === null) return;
    request.isComplete = true;
    this.#onEnd(request);
  }
}

/** Value of a field by lower-case name, lines joined by `, `; undefined when absent. */
export function fieldValue(message: { fields: readonly [string, string][] }, name: string): string | undefined {
  const values = message.fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value);
  return values.length === 0 ? undefined : values.join(', ');
}
