import { connect, type Socket } from 'node:net';
import { silentAfter } from '#kit/patience.ts';
import type { Doing } from '../fleet/doing.ts';
import { type Reply, ReplyReader } from './reply.ts';

/** Longer, and BIRD hangs, unless all that it lacks is a core. */
const answerMs = 10_000;

/** A connection to the control socket of a BIRD: one command at a time, in the order of asking. */
export class Control {
  /** As `2.0.12`. */
  readonly version: string;
  /** Resolves when the connection is gone, and BIRD with it unless it hangs. */
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #replies: Replies;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(socket: Socket, replies: Replies, version: string, closed: Promise<void>) {
    this.#socket = socket;
    this.#replies = replies;
    this.version = version;
    this.closed = closed;
  }

  /**
   * @param doing what BIRD does; null: nobody can tell
   * @throws an error whose code is ENOENT or ECONNREFUSED where nobody listens, and another when no BIRD answers in time
   */
  static async open(path: string, doing: () => Doing | null = () => null): Promise<Control> {
    const socket = connect(path);
    const replies = new Replies(socket, doing);
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const greeting = await replies.next();
    const version = /^BIRD (\S+) ready/.exec(greeting.lines.at(-1)?.text ?? '')?.[1];
    if (greeting.code === greetingCode && version !== undefined) return new Control(socket, replies, version, closed);
    socket.destroy();
    throw new Error('whoever answers is not BIRD');
  }

  /** @throws when the connection is lost or no answer comes in time; a refusal is a reply */
  ask(command: string): Promise<Reply> {
    const turn = this.#turn.then(() => {
      this.#socket.write(`${command}\n`);
      return this.#replies.next();
    });
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** It was asked and has not answered in time. */
  get isHung(): boolean {
    return this.#replies.isLate;
  }

  close(): void {
    this.#socket.destroy();
  }
}

const greetingCode = 1;

/** Whoever waits for the next reply of a socket; at most one does. */
class Replies {
  readonly #socket: Socket;
  readonly #reader = new ReplyReader();
  #waiting: PromiseWithResolvers<Reply> | null = null;
  readonly #doing: () => Doing | null;
  #heard = () => {};
  #failure: Error | null = null;
  isLate = false;

  constructor(socket: Socket, doing: () => Doing | null) {
    this.#socket = socket;
    this.#doing = doing;
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('BIRD has closed the connection')));
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const reply of this.#reader.read(bytes)) this.#settle((waiting) => waiting.resolve(reply));
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
  }

  next(): Promise<Reply> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#waiting = Promise.withResolvers();
    this.#wait(this.#doing()?.cpuMs ?? 0);
    return this.#waiting.promise;
  }

  /** Who turns in a circle has had its time before long. @param cpuMsBefore what BIRD had taken of cores when it was asked */
  #wait(cpuMsBefore: number): void {
    this.#heard = silentAfter(answerMs, () => {
      const doing = this.#doing();
      if (doing?.wantsCore === true && doing.cpuMs - cpuMsBefore < answerMs) {
        this.#wait(cpuMsBefore);
        return;
      }
      this.isLate = true;
      this.#socket.destroy(new Error('BIRD does not answer'));
    });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#settle((waiting) => waiting.reject(error));
  }

  #settle(how: (waiting: PromiseWithResolvers<Reply>) => void): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#heard();
    if (waiting !== null) how(waiting);
  }
}
