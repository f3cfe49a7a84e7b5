import type { L4Route } from '#table/l4route.ts';
import { plainAddress } from '../match/ranges.ts';
import type { Limits } from './limits.ts';
import { udpFlowsByOpenFiles } from './openfiles.ts';
import { sourceKeyOf } from './sources.ts';

/** Clients of datagrams, and who they are: of a worker, over all of its udp listeners, or of one of these. */
export class UdpRoom {
  readonly #countsBySource = new Map<string, number>();
  #count = 0;

  /** @param address who would be one more */
  hasRoomFor(address: string, { most, mostPerSource }: L4Route['clients']): boolean {
    if (most !== null && this.#count >= most) return false;
    return mostPerSource === null || (this.#countsBySource.get(sourceOf(address)) ?? 0) < mostPerSource;
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

/** What a worker hears at a time, by its flags and by what its open files allow. */
export function udpClientsOf({ udpFlows, udpFlowsPerSource }: Limits): L4Route['clients'] {
  return { most: Math.min(udpFlows, udpFlowsByOpenFiles()), mostPerSource: udpFlowsPerSource };
}

/** As of connections: an IPv4 address, or the /64 that an IPv6 subscriber has. */
function sourceOf(address: string): string {
  return sourceKeyOf(plainAddress(address));
}
