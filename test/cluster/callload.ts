import { type Client, Metadata } from '@grpc/grpc-js';
import { echoClient, echoService } from '../kit/grpc.ts';

export interface CallLoadOptions {
  address: string;
  port: number;
  host: string;
  callsPerSecond: number;
}

/** Steady unary calls of a real gRPC client until stopped, over one connection at a time as such clients have it. */
export class CallLoad {
  answered = 0;
  readonly failures: string[] = [];
  readonly #client: Client;
  readonly #callsPerSecond: number;
  readonly #timer: NodeJS.Timeout;
  readonly #inFlight = new Set<Promise<void>>();
  #dueMs = performance.now();

  constructor({ address, port, host, callsPerSecond }: CallLoadOptions) {
    // Calls that cross the word to go are sent again by the client itself, as by every gRPC client (gRFC A6).
    const options = { 'grpc.default_authority': host, 'grpc.enable_retries': 1 };
    this.#client = echoClient(port, options, address);
    this.#callsPerSecond = callsPerSecond;
    this.#timer = setInterval(() => this.#tick(), 5);
  }

  async stop(): Promise<this> {
    clearInterval(this.#timer);
    await Promise.all(this.#inFlight);
    this.#client.close();
    return this;
  }

  #tick(): void {
    while (this.#dueMs <= performance.now()) {
      this.#dueMs += 1_000 / this.#callsPerSecond;
      const call = this.#call();
      this.#inFlight.add(call);
      void call.then(() => this.#inFlight.delete(call));
    }
  }

  #call(): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = echoService.unary;
    const sent = Buffer.from('call');
    return new Promise((resolve) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        sent,
        new Metadata(),
        (error, answer) => {
          if (error !== null) this.failures.push(error.message);
          else if (answer?.equals(sent)) this.answered++;
          else this.failures.push('another message came back');
          resolve();
        },
      );
    });
  }
}
