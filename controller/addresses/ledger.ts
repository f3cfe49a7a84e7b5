import { MultiMap } from '../translate/multimap.ts';
import { compareText } from '../translate/problems.ts';
import type { ObjectKey } from '../watch/view.ts';
import { type Claim, compareClaims, type Sharing } from './claim.ts';
import { isLeftOut, type Pool } from './pools.ts';
import { type Family, familyOf, holds, parseAddress, type Range, textOf } from './ranges.ts';

/** How strong a hold on an address is: proposed by this replica, written down by a leader, or told to the Service. */
export const proposed = 0;
export const recorded = 1;
export const promised = 2;
export type Rank = typeof proposed | typeof recorded | typeof promised;

interface Stake {
  claim: Claim;
  rank: Rank;
  isHeld: boolean;
}

/**
 * Who has which address. Several Services may have a stake in one: those that may share it hold it together; of others
 * the stronger stake holds, then the one that held it before, then the older Service. Nobody who holds an address loses
 * it by what another Service comes to ask for.
 */
export class Ledger {
  readonly #stakesByAddress = new Map<string, Map<ObjectKey, Stake>>();
  readonly #addressesByService = new MultiMap();
  /** Addresses that are held under a sharing key. */
  readonly #addressesBySharingKey = new MultiMap();
  /** Below these, the addresses of a range are taken. */
  readonly #cursors = new Map<Range, bigint>();
  #nodesByAddress: ReadonlyMap<string, string> = new Map();
  #openings = 0;
  #turnover = 0;

  /** Grows with every hold that begins or ends, and with nodes whose addresses are others. */
  get turnover(): number {
    return this.#turnover;
  }

  /** Grows whenever somebody who waits may get something: a hold ends, or one that can be shared begins. */
  get openings(): number {
    return this.#openings;
  }

  /** Replaces the stakes of a Service. @returns the addresses whose stakes changed; they must be settled */
  stake(claim: Claim, rankByAddress: ReadonlyMap<string, Rank>): Set<string> {
    const touched = new Set<string>();
    for (const address of [...this.#addressesByService.get(claim.key)]) {
      if (!rankByAddress.has(address)) this.#withdraw(address, claim.key, touched);
    }
    for (const [address, rank] of rankByAddress) {
      const stakes = this.#stakesByAddress.get(address) ?? new Map<ObjectKey, Stake>();
      this.#stakesByAddress.set(address, stakes);
      const before = stakes.get(claim.key);
      const isSame = before !== undefined && isSameSharing(before.claim.sharing, claim.sharing);
      if (before && !isSame) this.#letGo(address, before);
      stakes.set(claim.key, { claim, rank, isHeld: isSame && before.isHeld });
      this.#addressesByService.add(claim.key, address);
      if (!isSame || before.rank !== rank) touched.add(address);
    }
    return touched;
  }

  /** Forgets a Service. @returns as `stake` */
  forget(key: ObjectKey): Set<string> {
    const touched = new Set<string>();
    for (const address of [...this.#addressesByService.get(key)]) this.#withdraw(address, key, touched);
    return touched;
  }

  /** Decides anew who holds an address. @returns the Services for which the answer is another one */
  settle(address: string): ObjectKey[] {
    const stakes = [...(this.#stakesByAddress.get(address)?.values() ?? [])].sort(byStrength);
    // Those that share are alike but for their ports, so the first stands for all: one address may be a thousand Services'.
    let first: Sharing | null = null;
    const ports = new Set<string>();
    const changed: ObjectKey[] = [];
    for (const stake of stakes) {
      const { sharing } = stake.claim;
      const canShare: boolean = first === null || sharingFault(first, sharing) === null;
      const canHold = canShare && !sharing.ports.some((port) => ports.has(port));
      if (canHold) {
        first ??= sharing;
        for (const port of sharing.ports) ports.add(port);
      }
      if (canHold === stake.isHeld) continue;
      changed.push(stake.claim.key);
      if (canHold) {
        stake.isHeld = true;
        this.#turnover++;
        if (stake.claim.sharing.key === null) continue;
        this.#addressesBySharingKey.add(stake.claim.sharing.key, address);
        this.#openings++;
      } else this.#letGo(address, stake);
    }
    return changed;
  }

  /** How a Service stands to the addresses that it has a stake in: in the order of its families, the strongest first. */
  standings(key: ObjectKey): { address: string; rank: Rank; isHeld: boolean }[] {
    const standings = [...this.#addressesByService.get(key)].flatMap((address) => {
      const stake = this.#stakesByAddress.get(address)?.get(key);
      return stake ? { address, stake } : [];
    });
    standings.sort((a, b) => {
      const { families, requested } = a.stake.claim;
      const turn = (list: readonly string[], one: string) => (list.includes(one) ? list.indexOf(one) : list.length);
      return (
        turn(families, familyOf(a.address)) - turn(families, familyOf(b.address)) ||
        b.stake.rank - a.stake.rank ||
        turn(requested ?? [], a.address) - turn(requested ?? [], b.address) ||
        compareText(a.address, b.address)
      );
    });
    return standings.map(({ address, stake: { rank, isHeld } }) => ({ address, rank, isHeld }));
  }

  /** Who keeps a Service from an address, in words, and why; null: nobody. */
  obstacle(claim: Claim, address: string): { holder: string; why: string } | null {
    const node = this.#nodesByAddress.get(address);
    if (node !== undefined) return { holder: `Node ${node}`, why: ', whose own it is' };
    for (const stake of this.#stakesByAddress.get(address)?.values() ?? []) {
      if (!stake.isHeld || stake.claim.key === claim.key) continue;
      const why = sharingFault(stake.claim.sharing, claim.sharing);
      if (why !== null) return { holder: `Service ${stake.claim.key}`, why };
    }
    return null;
  }

  nodeOf(address: string): string | undefined {
    return this.#nodesByAddress.get(address);
  }

  /** Addresses that are held under this key, in order of their text. */
  sharedUnder(sharingKey: string): string[] {
    return [...this.#addressesBySharingKey.get(sharingKey)].sort();
  }

  /** The first address that nobody has a stake in. However large the pool, only what is taken is passed over, once. */
  firstFree(pool: Pool, family: Family): string | undefined {
    for (const range of pool.ranges) {
      if (range.family !== family) continue;
      let value = this.#cursors.get(range) ?? range.first;
      for (; value <= range.last; value++) {
        const address = textOf({ family, value });
        const isTaken = this.#stakesByAddress.has(address) || this.#nodesByAddress.has(address);
        if (isTaken || isLeftOut(pool, { family, value })) continue;
        this.#cursors.set(range, value);
        return address;
      }
      this.#cursors.set(range, value);
    }
    return undefined;
  }

  /** Addresses that somebody holds. */
  *inUse(): Iterable<string> {
    for (const [address, stakes] of this.#stakesByAddress) {
      if (stakes.values().some(({ isHeld }) => isHeld)) yield address;
    }
  }

  /** Pools or nodes are others now. */
  startOver(nodesByAddress: ReadonlyMap<string, string>): void {
    if (nodesByAddress !== this.#nodesByAddress) this.#turnover++;
    this.#nodesByAddress = nodesByAddress;
    this.#cursors.clear();
  }

  #withdraw(address: string, key: ObjectKey, touched: Set<string>): void {
    const stakes = this.#stakesByAddress.get(address);
    const stake = stakes?.get(key);
    this.#addressesByService.delete(key, address);
    if (!stakes || !stake) return;
    stakes.delete(key);
    this.#letGo(address, stake);
    touched.add(address);
    if (stakes.size > 0) return;
    this.#stakesByAddress.delete(address);
    const value = parseAddress(address)?.value ?? 0n;
    for (const [range, cursor] of this.#cursors) {
      if (value < cursor && holds(range, { family: familyOf(address), value })) this.#cursors.set(range, value);
    }
  }

  #letGo(address: string, stake: Stake): void {
    if (!stake.isHeld) return;
    stake.isHeld = false;
    this.#openings++;
    this.#turnover++;
    const { key } = stake.claim.sharing;
    if (key === null) return;
    const others = this.#stakesByAddress.get(address)?.values() ?? [];
    for (const other of others) if (other.isHeld && other.claim.sharing.key === key) return;
    this.#addressesBySharingKey.delete(key, address);
  }
}

/** Why two Services cannot have one address, as the end of a sentence that names the other; null: they can. */
export function sharingFault(one: Sharing, other: Sharing): string | null {
  if (one.key === null || other.key === null) return '';
  if (one.key !== other.key) return ', under another sharing key';
  const port = one.ports.find((each) => other.ports.includes(each));
  if (port !== undefined) return `, which has ${port}, too`;
  if (one.backend === other.backend) return null;
  return ', and with externalTrafficPolicy Local both need the same policy, namespace and selector';
}

function isSameSharing(one: Sharing, other: Sharing): boolean {
  return one.key === other.key && one.backend === other.backend && one.ports.join() === other.ports.join();
}

/** Of two that were promised one address, both had a sharing key: who has none now has changed while nobody saw it. */
function byStrength(a: Stake, b: Stake): number {
  const isLoyal = ({ rank, claim }: Stake) => Number(rank === promised && claim.sharing.key !== null);
  return (
    b.rank - a.rank || Number(b.isHeld) - Number(a.isHeld) || isLoyal(b) - isLoyal(a) || compareClaims(a.claim, b.claim)
  );
}
