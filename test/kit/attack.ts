import { connect, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import { waitUntil } from './wait.ts';

export interface AttackOptions {
  port: number;
  /** Addresses of 127.0.0.0/8 that it comes from, in turn; a load of honest clients comes from 127.0.0.1. */
  from: readonly string[];
  connections: number;
  /** Given: they are opened one after the other, so many a second, and those that have ended are opened again. */
  perSecond?: number;
  /** What each does once it is connected (with TLS: once the handshake is done). What it returns is called at its end. */
  behave?(socket: Socket): (() => void) | undefined;
  isTls?: boolean;
  /** What each says and shows in its handshake. */
  handshake?: ConnectionOptions;
  /** Protocol to be agreed in the handshake. */
  alpn?: string;
}

/** Connections that misbehave, all opened at once unless it is told otherwise. What comes of them is counted, and nothing that is done to them is an error. */
export class Attack {
  /** Connected, as far as the kernel is concerned. */
  connected = 0;
  /** Ended before that: on a machine that has no time for them, a handshake may take longer than it may. */
  turnedAway = 0;
  /** Ended by the gateway, or never let in. */
  ended = 0;
  #opened = 0;
  readonly #sockets = new Set<Socket>();
  readonly #timer: NodeJS.Timeout | undefined;

  private constructor(options: AttackOptions) {
    const { connections, perSecond } = options;
    if (perSecond === undefined) {
      while (this.#opened < connections) this.#open(options);
      return;
    }
    const startMs = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      const now = Math.floor(((performance.now() - startMs) / 1000) * perSecond);
      for (; due < now; due++) if (this.open < connections) this.#open(options);
    }, 5);
  }

  static start(options: AttackOptions): Attack {
    return new Attack(options);
  }

  /** Of those that got somewhere, how many the gateway still puts up with. */
  get open(): number {
    return this.#opened - this.ended;
  }

  async allEnded(): Promise<void> {
    await waitUntil(() => this.open === 0, 'the gateway to end every connection of the attack');
  }

  stop(): void {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) socket.destroy();
  }

  #open({ port, from, behave, isTls, alpn, handshake }: AttackOptions): void {
    const where = { port, host: '127.0.0.1', localAddress: from[this.#opened++ % from.length] ?? '127.0.0.1' };
    const socket = isTls
      ? connectTls({
          ...{ ...where, rejectUnauthorized: false },
          ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
          ...handshake,
        })
      : connect(where);
    let stop: (() => void) | undefined;
    let isConnected = false;
    socket.on('error', () => {});
    socket.once(isTls ? 'secureConnect' : 'connect', () => {
      this.connected++;
      isConnected = true;
      stop = behave?.(socket);
    });
    // Who does not read would not notice the end; `behave` may stop the reading.
    socket.resume();
    socket.once('close', () => {
      this.ended++;
      if (!isConnected) this.turnedAway++;
      this.#sockets.delete(socket);
      stop?.();
    });
    this.#sockets.add(socket);
  }
}

/** Sends a piece again and again, `everyMs` apart. */
export function drip(socket: Socket, piece: string, everyMs: number): () => void {
  const timer = setInterval(() => socket.write(piece, 'latin1'), everyMs);
  return () => clearInterval(timer);
}
