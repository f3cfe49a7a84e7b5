import type { Limits } from './limits.ts';
import { udpFlowsByOpenFiles } from './openfiles.ts';

/** How many clients of datagrams a worker hears, over all of its udp listeners, and who they are. */
export class UdpRoom {
  readonly #most: number;
  readonly #mostPerSource: number;
  readonly #countsBySource = new Map<string, number>();
  #count = 0;

  constructor({ udpFlows, udpFlowsPerSource }: Limits) {
    this.#most = Math.min(udpFlows, udpFlowsByOpenFiles());
    this.#mostPerSource = udpFlowsPerSource;
  }

  hasRoomFor(source: string): boolean {
    return this.#count < this.#most && (this.#countsBySource.get(source) ?? 0) < this.#mostPerSource;
  }

  take(source: string): void {
    this.#count++;
    this.#countsBySource.set(source, (this.#countsBySource.get(source) ?? 0) + 1);
  }

  leave(source: string): void {
    this.#count--;
    const left = (this.#countsBySource.get(source) ?? 0) - 1;
    if (left > 0) this.#countsBySource.set(source, left);
    else this.#countsBySource.delete(source);
  }
}
