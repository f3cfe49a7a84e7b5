import { WebSocket } from 'ws';
import type { Entrance } from './traffic.ts';

/** WebSockets that say something ten times a second and hear it again. One that is told to go comes back, as clients do. */
export class Talks {
  answered = 0;
  readonly failures: string[] = [];
  /** When those of the beginning were told to go (1001), ms since then. */
  readonly toldAfterMs: number[] = [];
  readonly #url: string;
  readonly #host: string;
  readonly #beganMs = performance.now();
  readonly #talking = new Map<WebSocket, NodeJS.Timeout>();
  #isStopping = false;

  private constructor({ address, http }: Entrance, host: string) {
    this.#url = `ws://${address}:${http}/`;
    this.#host = host;
  }

  /** Returns when all of them talk. */
  static async start(entrance: Entrance, host: string, count: number): Promise<Talks> {
    const talks = new Talks(entrance, host);
    await Promise.all(Array.from({ length: count }, () => talks.#talk((ms) => talks.toldAfterMs.push(ms))));
    return talks;
  }

  stop(): void {
    this.#isStopping = true;
    for (const [socket, timer] of this.#talking) {
      clearInterval(timer);
      socket.terminate();
    }
  }

  /** Settles with the first answer, or the end. */
  #talk(onTold: (afterMs: number) => void): Promise<void> {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, { headers: { host: this.#host } });
      const timer = setInterval(() => {
        if (socket.readyState === WebSocket.OPEN) socket.send('here');
      }, 100);
      this.#talking.set(socket, timer);
      socket.on('message', () => {
        this.answered++;
        resolve();
      });
      socket.on('error', (error) => {
        if (!this.#isStopping) this.failures.push(String(error));
      });
      socket.on('close', (code) => {
        clearInterval(timer);
        this.#talking.delete(socket);
        resolve();
        if (this.#isStopping) return;
        if (code === 1001) onTold(performance.now() - this.#beganMs);
        else this.failures.push(`closed with ${code}`);
        void this.#talk(() => undefined);
      });
    });
  }
}
