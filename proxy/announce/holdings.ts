import type { Log } from '#kit/log.ts';
import type { AnnouncedBy } from '#table/announced.ts';
import type { ArpSettings } from './arp.ts';
import { runIp } from './ip.ts';
import type { Lease } from './links.ts';
import type { Target } from './prober.ts';

interface Holding extends Target {
  /** Until then the kernel has it for certain; of the clock that the kernel counts by, ms. */
  untilMs: number;
}

/**
 * The addresses that this node has, each as a host address of an interface, for which the kernel answers ARP and NDP. It has
 * an end, and is renewed well before: an agent that hangs, or is gone, loses it without anybody's help.
 *
 * It makes no route, and is deprecated as far as the kernel lets it be, so that nothing of this host chooses it for its own
 * connections.
 */
export class Holdings {
  readonly #lifetimeS: number;
  readonly #arp: ArpSettings;
  readonly #log: Log;
  readonly #held = new Map<string, Holding>();
  #turn: Promise<unknown> = Promise.resolve();

  /** @param lifetimeS how long the kernel keeps an address that is not renewed */
  constructor(lifetimeS: number, arp: ArpSettings, log: Log) {
    this.#lifetimeS = lifetimeS;
    this.#arp = arp;
    this.#log = log;
  }

  get size(): number {
    return this.#held.size;
  }

  get(address: string): Target | null {
    return this.#held.get(address) ?? null;
  }

  announced(): Iterable<AnnouncedBy> {
    return this.#held.keys().map((address) => ({ way: 'layer2', address }));
  }

  all(): Iterable<Target> {
    return this.#held.values();
  }

  /** @returns those that the kernel has taken */
  take(targets: readonly Target[]): Promise<string[]> {
    return this.#inTurn(() => this.#add(targets, this.#lifetimeS));
  }

  /** Whatever an earlier agent has left, and its end is not near. */
  adopt(leases: readonly Lease[]): void {
    for (const { address, link, leftMs } of leases) {
      this.#held.set(address, { address, link, untilMs: performance.now() + leftMs - 1_000 });
    }
  }

  release(addresses: readonly string[]): Promise<void> {
    return this.#drop(addresses.flatMap((address) => this.#held.get(address) ?? []));
  }

  /**
   * Gives each address its time anew. One whose time has passed is not ours any more, whatever the kernel says: we have slept,
   * and another may have it.
   * @returns those that are lost
   */
  renew(): Promise<string[]> {
    return this.#inTurn(async () => {
      const lost = this.expired();
      const held = [...this.#held.values()];
      const taken = await this.#add(held, this.#lifetimeS);
      return [...lost, ...held.map(({ address }) => address).filter((address) => !taken.includes(address))];
    });
  }

  /** Gives up those whose time has passed. */
  expired(): string[] {
    const nowMs = performance.now();
    const lost = [...this.#held.values()].filter(({ untilMs }) => untilMs <= nowMs);
    if (lost.length > 0) void this.#drop(lost);
    return lost.map(({ address }) => address);
  }

  /** For an agent that ends: time enough for another to start. */
  async leave(): Promise<void> {
    await this.#inTurn(() => this.#add([...this.#held.values()], Math.max(this.#lifetimeS, restartS)));
    this.#held.clear();
  }

  #drop(targets: readonly Target[]): Promise<void> {
    const forget = () => {
      for (const { address } of targets) this.#held.delete(address);
    };
    forget();
    return this.#inTurn(() => {
      // A renewal that had begun before has put them back.
      forget();
      return removeAddresses(targets);
    });
  }

  async #add(targets: readonly Target[], seconds: number): Promise<string[]> {
    if (targets.length === 0) return [];
    for (const link of new Set(targets.map((target) => target.link))) await this.#arp.bring(link);
    const startMs = performance.now();
    const { failures } = await runIp(
      targets.map(
        (target) =>
          `addr replace ${onLink(target)} valid_lft ${seconds} preferred_lft 0 noprefixroute${isV6(target) ? ' nodad' : ''}`,
      ),
    );
    return targets.flatMap(({ address, link }, place) => {
      const failure = failures.get(place);
      if (failure === undefined) {
        this.#held.set(address, { address, link, untilMs: startMs + seconds * 1_000 - spareMs });
        return [address];
      }
      this.#held.delete(address);
      this.#log.error({ address, link, err: failure }, 'an address cannot be put on its interface');
      return [];
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

export async function removeAddresses(targets: readonly Target[]): Promise<void> {
  if (targets.length === 0) return;
  await runIp(targets.map((target) => `addr del ${onLink(target)}`));
}

function onLink(target: Target): string {
  return `${target.address}/${isV6(target) ? 128 : 32} dev ${target.link}`;
}

function isV6({ address }: Target): boolean {
  return address.includes(':');
}

/** Several times in each lifetime. */
export function renewEveryMs(lifetimeS: number): number {
  return Math.min(2_000, 250 * lifetimeS);
}

/** Time enough for another agent to start. */
const restartS = 30;
/** The kernel takes a lifetime by whole seconds and looks at it in its own time. */
const spareMs = 500;
