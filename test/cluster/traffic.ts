import { Load } from '../kit/load.ts';
import { CallLoad } from './callload.ts';
import { H2Load } from './h2load.ts';

/** Where clients outside find the proxies. */
export interface Entrance {
  readonly address: string;
  readonly http: number;
  readonly https: number;
}

export interface TrafficReport {
  /** Per protocol. */
  readonly answered: Record<'http1' | 'http2' | 'grpc', number>;
  readonly failures: readonly string[];
  /** Over HTTP/1.1, ms. */
  readonly slowestMs: number;
}

/** 500 requests a second as clients of every kind send them: kept HTTP/1.1 connections, HTTP/2 over TLS, gRPC. */
export class Traffic {
  readonly #kept: Load;
  readonly #h2: H2Load;
  readonly #calls: CallLoad;

  constructor({ address, http, https }: Entrance, hosts: { web: string; grpc: string }) {
    this.#kept = Load.start({ address, port: http, host: hosts.web, connections: 20, requestsPerSecond: 200 });
    this.#h2 = new H2Load({ address, port: https, host: hosts.web, requestsPerSecond: 200 });
    this.#calls = new CallLoad({ address, port: http, host: hosts.grpc, callsPerSecond: 100 });
  }

  async stop(): Promise<TrafficReport> {
    const [kept, h2, calls] = await Promise.all([this.#kept.stop(), this.#h2.stop(), this.#calls.stop()]);
    return {
      answered: { http1: kept.answered, http2: h2.answered, grpc: calls.answered },
      failures: [
        ...kept.failures.map((failure) => `HTTP/1.1: ${failure}`),
        ...h2.failures.map((failure) => `HTTP/2: ${failure}`),
        ...calls.failures.map((failure) => `gRPC: ${failure}`),
      ],
      slowestMs: kept.slowestMs,
    };
  }
}
