import { connect, type OnReadOpts, type Socket } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import type { Generator } from './generator.ts';

/** One suite and one group for all: peers prefer different ones, and it is not those that are compared. */
export const tlsPlan: ConnectionOptions = {
  host: '127.0.0.1',
  servername: 'h0.bench',
  rejectUnauthorized: false,
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  ecdhCurve: 'X25519',
};

/** All connections read into it: what is read is looked at at once. */
const shared = Buffer.allocUnsafeSlow(262_144);

/** One connection of the generator, with at most one request at a time. */
export class Connection {
  readonly socket: Socket;
  /** When the request was due that it was opened for; -1: none. */
  owedAtMs: number;
  sentAtMs = 0;
  /** It may take another request. */
  isKept: boolean;
  readonly #owner: Generator;
  #isBusy: boolean;
  #head = '';
  /** Body bytes to come; -1: in the head. */
  #left = -1;

  constructor(owner: Generator, owedAtMs: number) {
    this.#owner = owner;
    this.owedAtMs = owedAtMs;
    this.#isBusy = owedAtMs >= 0;
    const { port, isTls, isResumed } = owner.plan;
    this.isKept = !owner.plan.isFreshEach;
    const onread: OnReadOpts = {
      buffer: shared,
      callback: (length) => {
        this.#read(length);
        return true;
      },
    };
    const onReady = () => owner.ready(this);
    if (isTls) {
      const session = isResumed && owner.session !== undefined ? { session: owner.session } : {};
      const options: ConnectionOptions & { onread: OnReadOpts } = {
        ...tlsPlan,
        ...session,
        port,
        onread,
      };
      const socket = tlsConnect(options, onReady);
      if (isResumed && owner.session === undefined) {
        socket.once('session', (ticket) => {
          owner.session = ticket;
        });
      }
      this.socket = socket;
    } else {
      this.socket = connect({ port, host: '127.0.0.1', onread }, onReady);
    }
    this.socket.setNoDelay(true);
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      if (this.#isBusy) this.#finish(false);
      else owner.gone(this);
    });
  }

  send(request: string, atMs: number): void {
    this.#isBusy = true;
    this.#left = -1;
    this.#head = '';
    this.sentAtMs = atMs;
    this.socket.write(request, 'latin1');
  }

  #read(length: number): void {
    if (!this.#isBusy) return;
    let start = 0;
    if (this.#left < 0) {
      const end = shared.indexOf('\r\n\r\n');
      const isWhole = end >= 0 && end < length;
      this.#head += shared.toString('latin1', 0, isWhole ? end : length);
      if (!isWhole) return;
      const bytes = /\r\ncontent-length: *(\d+)/i.exec(this.#head);
      if (!this.#head.startsWith('HTTP/1.1 200') || !bytes) {
        process.stderr.write(`unexpected answer: ${this.#head.slice(0, 200)}\n`);
        this.#finish(false);
        this.socket.destroy();
        return;
      }
      if (/\r\nconnection: *close/i.test(this.#head)) this.isKept = false;
      this.#left = Number(bytes[1]);
      start = end + 4;
    }
    this.#left -= length - start;
    if (this.#left === 0) this.#finish(true);
  }

  #finish(isWhole: boolean): void {
    this.#isBusy = false;
    this.owedAtMs = -1;
    if (!this.isKept) this.socket.end();
    this.#owner.finished(this, isWhole);
  }
}
