import { Agent as HttpAgent, type RequestOptions, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { CertificatePair } from './certificate.ts';

export interface LoadOptions {
  /** 127.0.0.1 unless told. */
  address?: string;
  port: number;
  host: string;
  path?: string;
  /** Loops side by side, each with a connection of its own. */
  connections: number;
  /** Over all loops. */
  requestsPerSecond: number;
  isTls?: boolean;
  /** Shown to a gateway that asks for it. */
  certificate?: CertificatePair;
  /** false: a new connection per request. */
  keepsAlive?: boolean;
  /** Given: requests are POSTs with it. */
  body?: string;
}

export interface LoadReport {
  answered: number;
  /** What went wrong, in words: an error of the connection, or a status other than 200. */
  failures: string[];
  /** Longest wait for an answer, ms. */
  slowestMs: number;
  /** Every wait for an answer, ms. */
  waitsMs: number[];
  /** Answers by body, for tests whose backends tell their name. */
  bodies: Map<string, number>;
}

/** Steady requests until stopped. Nothing is tried again: every failure that a client could see is counted. */
export class Load {
  readonly report: LoadReport = { answered: 0, failures: [], slowestMs: 0, waitsMs: [], bodies: new Map() };
  readonly #options: LoadOptions;
  readonly #loops: Promise<void>[] = [];
  #isStopping = false;

  private constructor(options: LoadOptions) {
    this.#options = options;
  }

  static start(options: LoadOptions): Load {
    const load = new Load(options);
    for (let i = 0; i < options.connections; i++) load.#loops.push(load.#loop());
    return load;
  }

  /** Lets the requests in flight finish. */
  async stop(): Promise<LoadReport> {
    this.#isStopping = true;
    await Promise.all(this.#loops);
    return this.report;
  }

  async #loop(): Promise<void> {
    const { isTls, keepsAlive = true, connections, requestsPerSecond } = this.#options;
    const settings = { keepAlive: keepsAlive, maxSockets: 1 };
    const agent = isTls ? new HttpsAgent(settings) : new HttpAgent(settings);
    const everyMs = (1000 * connections) / requestsPerSecond;
    let dueMs = performance.now() + Math.random() * everyMs;
    while (!this.#isStopping) {
      const waitMs = dueMs - performance.now();
      if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      dueMs = Math.max(dueMs + everyMs, performance.now());
      await this.#request(agent);
    }
    agent.destroy();
  }

  async #request(agent: HttpAgent | HttpsAgent): Promise<void> {
    const { address = '127.0.0.1', port, host, path = '/', isTls, keepsAlive = true, body: sent } = this.#options;
    const fields = keepsAlive ? { host } : { host, connection: 'close' };
    const tls = isTls ? { servername: host, rejectUnauthorized: false, ...this.#options.certificate } : {};
    const method = sent === undefined ? 'GET' : 'POST';
    const options: RequestOptions = { port, host: address, path, method, agent, headers: fields, ...tls };
    const startMs = performance.now();
    try {
      const { status, body } = await sendRequest(options, isTls === true, sent);
      if (status === 200) {
        this.report.answered++;
        this.report.bodies.set(body, (this.report.bodies.get(body) ?? 0) + 1);
      } else this.report.failures.push(`status ${status}: ${body.slice(0, 200)}`);
    } catch (error) {
      this.report.failures.push(String(error));
    }
    const waitMs = performance.now() - startMs;
    this.report.waitsMs.push(waitMs);
    this.report.slowestMs = Math.max(this.report.slowestMs, waitMs);
  }
}

function sendRequest(
  options: RequestOptions,
  isTls: boolean,
  sent: string | undefined,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = (isTls ? requestHttps : requestHttp)(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (bytes: Buffer) => parts.push(bytes));
      response.on('error', reject);
      response.on('end', () => {
        if (response.complete) resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() });
        else reject(new Error('the answer was cut off'));
      });
    });
    request.on('error', reject);
    request.end(sent);
  });
}
