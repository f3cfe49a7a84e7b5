import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { waitUntil } from './wait.ts';

export interface AttackOptions {
  port: number;
  /** Addresses of 127.0.0.0/8 that it comes from, in turn; a load of honest clients comes from 127.0.0.1. */
  from: readonly string[];
  connections: number;
  /** What each does once it is connected (with TLS: once the handshake is done). What it returns is called at its end. */
  behave?(socket: Socket): (() => void) | undefined;
  isTls?: boolean;
  /** Protocol to be agreed in the handshake. */
  alpn?: string;
}

/** Connections that misbehave, all opened at once. What comes of them is counted, and nothing that is done to them is an error. */
export class Attack {
  /** Connected, as far as the kernel is concerned. */
  connected = 0;
  /** Ended by the gateway, or never let in. */
  ended = 0;
  readonly #sockets: Socket[] = [];

  private constructor(options: AttackOptions) {
    for (let nth = 0; nth < options.connections; nth++) this.#open(options, nth);
  }

  static start(options: AttackOptions): Attack {
    return new Attack(options);
  }

  /** Of those that got somewhere, how many the gateway still puts up with. */
  get open(): number {
    return this.#sockets.length - this.ended;
  }

  async allEnded(): Promise<void> {
    await waitUntil(() => this.open === 0, 'the gateway to end every connection of the attack');
  }

  stop(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #open({ port, from, behave, isTls, alpn }: AttackOptions, nth: number): void {
    const where = { port, host: '127.0.0.1', localAddress: from[nth % from.length] ?? '127.0.0.1' };
    const socket = isTls
      ? connectTls({ ...where, rejectUnauthorized: false, ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }) })
      : connect(where);
    let stop: (() => void) | undefined;
    socket.on('error', () => {});
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      this.connected++;
      stop = behave?.(socket);
    });
    // Who does not read would not notice the end; `behave` may stop the reading.
    socket.resume();
    socket.once('close', () => {
      this.ended++;
      stop?.();
    });
    this.#sockets.push(socket);
  }
}

/** Sends a piece again and again, `everyMs` apart. */
export function drip(socket: Socket, piece: string, everyMs: number): () => void {
  const timer = setInterval(() => socket.write(piece, 'latin1'), everyMs);
  return () => clearInterval(timer);
}
