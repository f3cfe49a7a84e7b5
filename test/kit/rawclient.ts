import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { type Methods, type RawResponse, readResponses } from './response.ts';
import { waitUntil } from './wait.ts';

export interface RawClientOptions {
  port: number;
  address?: string;
  /** Address of 127.0.0.0/8 that it comes from; 127.0.0.1 unless told. */
  from?: string;
  /** Given: TLS with these options (servername, ca, …). */
  tls?: ConnectionOptions;
}

/** A client that sends the bytes that it is told to, and reads answers strictly. */
export class RawClient {
  readonly socket: Socket;
  /** The gateway's FIN came. */
  isEnded = false;
  /** Nothing more can come: FIN, reset or our own destroy. */
  isClosed = false;
  error: Error | null = null;
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.#parts.push(bytes);
      this.#bytes += bytes.length;
    });
    socket.on('end', () => {
      this.isEnded = true;
    });
    socket.on('error', (error) => {
      this.error = error;
    });
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  static async open(options: RawClientOptions): Promise<RawClient> {
    const { port, address = '127.0.0.1', from } = options;
    const target = { port, host: address, ...(from === undefined ? {} : { localAddress: from }) };
    const socket = options.tls
      ? connectTls({ ...target, rejectUnauthorized: false, ...options.tls })
      : connect({ ...target, allowHalfOpen: true });
    socket.setNoDelay(true);
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once(options.tls ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('closed before it was connected')));
    });
    return client;
  }

  get received(): Buffer {
    if (this.#parts.length > 1) this.#parts.splice(0, this.#parts.length, Buffer.concat(this.#parts));
    return this.#parts[0] ?? Buffer.alloc(0);
  }

  get receivedBytes(): number {
    return this.#bytes;
  }

  /** Text is latin1: one character, one byte. Bytes that the gateway no longer takes are no error. */
  send(bytes: string | Buffer): void {
    if (!this.socket.destroyed) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Half-close. */
  end(): void {
    if (!this.socket.destroyed) this.socket.end();
  }

  destroy(): void {
    this.socket.destroy();
  }

  /** Waits for the n-th response (counted from 0) of this connection; a cut-off one counts when the connection ended. */
  async response(index = 0, methods: Methods = []): Promise<RawResponse> {
    let seen = -1;
    let found: RawResponse | undefined;
    await waitUntil(
      () => {
        if (seen === this.#bytes && !this.isDone) return false;
        seen = this.#bytes;
        found = readResponses(this.received, this.isDone, methods)[index];
        return found !== undefined || this.isDone;
      },
      `response ${index}; so far ${JSON.stringify(this.received.toString('latin1').slice(0, 300))}`,
    );
    if (found === undefined) throw new Error(`the connection ended before response ${index}${this.#why()}`);
    return found;
  }

  /** Waits until the gateway has ended the connection. */
  async closed(): Promise<void> {
    await waitUntil(() => this.isDone, 'the gateway to close the connection');
  }

  get isDone(): boolean {
    return this.isEnded || this.isClosed;
  }

  #why(): string {
    return this.error ? ` (${this.error.message})` : '';
  }
}

/** One request on a connection of its own; its response. */
export async function exchange(
  options: RawClientOptions,
  request: string | Buffer,
  method = 'GET',
): Promise<RawResponse> {
  const client = await RawClient.open(options);
  try {
    client.send(request);
    return await client.response(0, [method]);
  } finally {
    client.destroy();
  }
}

/** Bytes of a simple request. */
export function get(path: string, host: string, fields: readonly string[] = []): string {
  return `${[`GET ${path} HTTP/1.1`, `Host: ${host}`, ...fields].join('\r\n')}\r\n\r\n`;
}
