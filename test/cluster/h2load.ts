import { type ClientHttp2Session, connect, constants } from 'node:http2';

export interface H2LoadOptions {
  address: string;
  port: number;
  host: string;
  requestsPerSecond: number;
}

/** Steady requests over HTTP/2 until stopped, one connection at a time: a new one when the server says that it goes. */
export class H2Load {
  answered = 0;
  readonly failures: string[] = [];
  readonly #options: H2LoadOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #inFlight = new Set<Promise<void>>();
  #session: ClientHttp2Session | null = null;
  #dueMs = performance.now();

  constructor(options: H2LoadOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#tick(), 5);
  }

  async stop(): Promise<this> {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
    this.#session?.destroy();
    return this;
  }

  #tick(): void {
    for (let i = 0; i < 10 && this.#dueMs <= performance.now() && this.#inFlight.size < mostInFlight; i++) {
      this.#dueMs += 1_000 / this.#options.requestsPerSecond;
      const request = this.#request();
      this.#inFlight.add(request);
      void request.then(() => this.#inFlight.delete(request));
    }
    this.#dueMs = Math.max(this.#dueMs, performance.now() - 1_000);
  }

  async #request(): Promise<void> {
    for (;;) {
      const failure = await this.#ask();
      if (failure === null) this.answered++;
      // Not a byte of it was looked at, so every client sends it again (RFC 9113 §8.7), on another connection.
      else if (failure === 'refused') continue;
      else this.failures.push(failure);
      return;
    }
  }

  /** @returns null when it is answered, else why not */
  #ask(): Promise<string | null> {
    const { host } = this.#options;
    return new Promise((resolve) => {
      const session = this.#open();
      const stream = session.request({ ':path': '/', ':authority': host });
      let status = 0;
      let failure = '';
      stream.on('response', (fields) => {
        status = Number(fields[':status']);
      });
      stream.on('error', (error) => {
        failure = String(error);
      });
      stream.on('close', () => {
        if (stream.rstCode === constants.NGHTTP2_REFUSED_STREAM) {
          if (this.#session === session) this.#session = null;
          resolve('refused');
        } else if (failure !== '') resolve(failure);
        else resolve(status === 200 && stream.rstCode === 0 ? null : `status ${status}, code ${stream.rstCode}`);
      });
      stream.resume();
    });
  }

  #open(): ClientHttp2Session {
    if (this.#session !== null && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const { address, port, host } = this.#options;
    const session = connect(`https://${address}:${port}`, { servername: host, rejectUnauthorized: false });
    // What is in flight goes on; what comes next needs another connection.
    session.on('goaway', () => {
      if (this.#session === session) this.#session = null;
    });
    session.on('error', (error) => this.failures.push(`connection: ${error}`));
    this.#session = session;
    return session;
  }
}

/** As many as the server lets a connection have. */
const mostInFlight = 100;
