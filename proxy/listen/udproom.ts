import { plainAddress } from '../match/ranges.ts';
import type { Limits } from './limits.ts';
import { udpFlowsByOpenFiles } from './openfiles.ts';
import { sourceKeyOf } from './sources.ts';

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

  hasRoomFor(address: string): boolean {
    return this.#count < this.#most && (this.#countsBySource.get(sourceOf(address)) ?? 0) < this.#mostPerSource;
  }

  take(address: string): void {
    const source = sourceOf(address);
    this.#count++;
    this.#countsBySource.set(source, (this.#countsBySource.get(source) ?? 0) + 1);
  }

  leave(address: string): void {
    const source = sourceOf(address);
    this.#count--;
    const left = (this.#countsBySource.get(source) ?? 0) - 1;
    if (left > 0) this.#countsBySource.set(source, left);
    else this.#countsBySource.delete(source);
  }
}

/** As of connections: an IPv4 address, or the /64 that an IPv6 subscriber has. */
function sourceOf(address: string): string {
  return sourceKeyOf(plainAddress(address));
}
