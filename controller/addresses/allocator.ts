import type { Problem } from '#table/problem.ts';
import { ProblemStore } from '../translate/problemstore.ts';
import { type ClusterView, keyOf, type ObjectKey, splitKey, type ViewChange } from '../watch/view.ts';
import type { AddressPoolStatus } from './addresspool.ts';
import { type Claim, type ClaimOptions, compareClaims, readClaim, type Tie, tieOf } from './claim.ts';
import { decide, type Holding } from './decide.ts';
import { Ledger, promised, proposed, type Rank, recorded } from './ledger.ts';
import { type Applicant, admits, type Pool, PoolSet } from './pools.ts';
import { canonicalAddress, familyOf } from './ranges.ts';
import { type Allocation, writeRecord } from './record.ts';
import { usageOf } from './usage.ts';

/** What a leader has to write into a Service. */
export interface Intent {
  uid: string;
  /** To be written down. Empty: what the Service had is to be taken back, once nobody announces it. */
  allocations: readonly Allocation[];
  /** Whether the status is ours to take back, too, and says something. */
  clearsStatus: boolean;
}

interface Entry {
  claim: Claim;
  tie: Tie;
  clearsStatus: boolean;
  target: readonly Allocation[];
}

/**
 * Who gets which address. Every replica works this out alike from what it sees; only a leader writes it down
 * (`intents`), and only what is written down counts as given (`assignments`). So no decision depends on which replica
 * made it or is lost with one, and two leaders at once come to one end: what was promised stays, then what was written
 * down, then what the older Service has.
 */
export class Allocator {
  readonly #options: ClaimOptions;
  readonly #ledger = new Ledger();
  readonly #entries = new Map<ObjectKey, Entry>();
  /** Services that may get more when something changes. */
  readonly #waiting = new Set<ObjectKey>();
  readonly #problems = new ProblemStore();
  readonly #intents = new Map<ObjectKey, Intent>();
  readonly #assignments = new Map<ObjectKey, readonly Allocation[]>();
  #pools = new PoolSet([]);
  #nodesByAddress: ReadonlyMap<string, string> = new Map();
  #isFirst = true;

  constructor(options: ClaimOptions) {
    this.#options = options;
  }

  /** Takes note of what changed; the first call reads the whole view. @returns Services whose assignment is another one now */
  apply(view: ClusterView, changes: readonly ViewChange[]): ReadonlySet<ObjectKey> {
    const work = new Work(this.#ledger.openings);
    const all = this.#isFirst ? everything(view) : changes;
    if (this.#isFirst || all.some(({ kind }) => kind === 'AddressPool')) this.#readPools(view, work);
    if (all.some(({ kind }) => kind === 'Node')) this.#readNodes(view, work);
    this.#isFirst = false;
    for (const { kind, key } of all) {
      if (kind === 'Service') this.#noteService(view, key, work);
      else if (kind === 'Namespace') this.#noteNamespace(key, work);
    }
    for (const key of work.dirty) this.#stake(view, key, work);
    this.#settle(work);
    for (let batch = this.#next(work); batch.length > 0; batch = this.#next(work)) {
      const entries = batch.flatMap((key) => this.#entries.get(key) ?? []).sort(byNeed);
      for (const entry of entries) this.#decide(view, entry, work);
    }
    return this.#assign(work);
  }

  /** Addresses that are written down and held: what is announced. In the order in which their Service has them. */
  assignments(): ReadonlyMap<ObjectKey, readonly Allocation[]> {
    return this.#assignments;
  }

  /** What a leader has to write, by Service. */
  intents(): ReadonlyMap<ObjectKey, Intent> {
    return this.#intents;
  }

  /** All current ones; the same array while none changed. */
  problems(): readonly Problem[] {
    return this.#problems.all();
  }

  /** Grows with everything that changes `usage`, but pools themselves. */
  get turnover(): number {
    return this.#ledger.turnover;
  }

  /** By name of pool. */
  usage(): ReadonlyMap<string, AddressPoolStatus> {
    return usageOf(this.#pools, new Set(this.#ledger.inUse()), this.#nodesByAddress.keys());
  }

  #readPools(view: ClusterView, work: Work): void {
    this.#pools = new PoolSet(view.all('AddressPool'));
    this.#problems.replace('pools', this.#pools.problems);
    this.#startOver(work);
  }

  #readNodes(view: ClusterView, work: Work): void {
    const nodesByAddress = new Map<string, string>();
    for (const { metadata, status } of view.all('Node')) {
      for (const { address } of status.addresses) {
        const canonical = canonicalAddress(address);
        if (canonical !== undefined) nodesByAddress.set(canonical, metadata.name);
      }
    }
    const isSame =
      nodesByAddress.size === this.#nodesByAddress.size &&
      [...nodesByAddress].every(([address, node]) => this.#nodesByAddress.get(address) === node);
    if (isSame) return;
    this.#nodesByAddress = nodesByAddress;
    this.#startOver(work);
  }

  #startOver(work: Work): void {
    this.#ledger.startOver(this.#nodesByAddress);
    for (const key of this.#entries.keys()) work.add(key);
  }

  #noteService(view: ClusterView, key: ObjectKey, work: Work): void {
    const service = view.get('Service', key);
    const tie = service && tieOf(service, this.#options);
    const before = this.#entries.get(key);
    if (service && tie) {
      const claim = readClaim(service);
      // A Service that was deleted and created again has nothing of the one before.
      const isSame = before?.claim.uid === claim.uid;
      const isForeign = service.spec.type === 'LoadBalancer' && tie === 'leaving';
      const clearsStatus = claim.promised.length > 0 && !isForeign;
      this.#entries.set(key, { claim, tie, clearsStatus, target: isSame && tie === 'ours' ? before.target : [] });
      work.add(key);
      return;
    }
    if (!before) return;
    this.#entries.delete(key);
    this.#waiting.delete(key);
    this.#intents.delete(key);
    this.#problems.replace(key, []);
    work.unsettle(this.#ledger.forget(key));
    work.touched.add(key);
  }

  #noteNamespace(key: ObjectKey, work: Work): void {
    const prefix = `${splitKey(key)[1]}/`;
    for (const each of this.#entries.keys()) if (each.startsWith(prefix)) work.add(each);
  }

  /** Puts into the ledger what a Service has: as it was written down or promised, and as it was proposed. */
  #stake(view: ClusterView, key: ObjectKey, work: Work): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    work.unsettle(this.#ledger.stake(entry.claim, this.#ranksOf(entry, view)));
  }

  /**
   * What a Service has a stake in. What is only written down could be anybody's doing who may edit the Service, so it
   * counts no more than a request; with the status, which few may write, it counts even where no pool holds it any more.
   * A status alone is what another implementation left, or somebody removed our note.
   */
  #ranksOf({ claim, tie, target }: Entry, view: ClusterView): Map<string, Rank> {
    const ranks = new Map<string, Rank>();
    const applicant = applicantOf(claim, view);
    const poolOf = (address: string): Pool | undefined => {
      const pool = this.#pools.of(address);
      return pool && (tie === 'leaving' || admits(pool, applicant)) ? pool : undefined;
    };
    for (const { address } of target) {
      const pool = poolOf(address);
      const isNamed = claim.pool?.name === pool?.name || claim.requested?.includes(address);
      // What a node has taken since is proposed by no replica that hears of it later.
      const isFree = !this.#nodesByAddress.has(address);
      if (pool && isFree && (pool.spec.autoAssign || isNamed)) ranks.set(address, proposed);
    }
    for (const { address } of claim.recorded) {
      if (claim.promised.includes(address)) ranks.set(address, promised);
      else if (poolOf(address)) ranks.set(address, recorded);
    }
    if (claim.recorded.length > 0 || tie === 'leaving') return ranks;
    for (const address of claim.promised) {
      if (poolOf(address) && claim.families.includes(familyOf(address))) ranks.set(address, promised);
    }
    return ranks;
  }

  #settle(work: Work): void {
    for (const address of work.unsettled) {
      for (const key of this.#ledger.settle(address)) {
        work.add(key);
        work.isOtherwise = true;
      }
    }
    work.unsettled.clear();
  }

  /** Who is to be decided next, with those that wait, if there may be something for them. */
  #next(work: Work): ObjectKey[] {
    const hasOpened = this.#ledger.openings > work.openings;
    if (hasOpened || work.isOtherwise) {
      for (const key of this.#waiting) {
        // Who asks for an address is told who has it now, and who needs both families which is lacking; who asks for any
        // cannot be worse off than with none.
        const claim = this.#entries.get(key)?.claim;
        if (hasOpened || claim?.requested?.length !== 0 || claim.needsAll) work.add(key);
      }
    }
    work.openings = this.#ledger.openings;
    work.isOtherwise = false;
    return work.take();
  }

  #decide(view: ClusterView, entry: Entry, work: Work): void {
    const { claim, tie, clearsStatus } = entry;
    const { key } = claim;
    if (tie === 'leaving') {
      this.#intents.set(key, { uid: claim.uid, allocations: [], clearsStatus });
      this.#waiting.delete(key);
      this.#problems.replace(key, []);
      return;
    }
    const decision = decide(claim, this.#held(claim), this.#pools, this.#ledger, applicantOf(claim, view));
    entry.target = decision.target;
    this.#stake(view, key, work);
    this.#settle(work);
    if (decision.isComplete) this.#waiting.delete(key);
    else this.#waiting.add(key);
    this.#problems.replace(key, decision.problems);
    const isWritten = writeRecord(decision.target) === writeRecord(claim.recorded);
    if (isWritten && (claim.hasFinalizer || decision.target.length === 0)) this.#intents.delete(key);
    else this.#intents.set(key, { uid: claim.uid, allocations: decision.target, clearsStatus });
  }

  #held(claim: Claim): Holding[] {
    const poolsByAddress = new Map(claim.recorded.map(({ address, pool }) => [address, pool]));
    return this.#ledger.standings(claim.key).flatMap(({ address, rank, isHeld }) => {
      if (!isHeld) return [];
      const origin = poolsByAddress.get(address);
      // Where pools have passed the address on among them, its Service has not asked for another one.
      const isAsAsked = origin !== undefined && origin === claim.pool?.name;
      const pool = isAsAsked ? origin : (this.#pools.of(address)?.name ?? origin ?? '');
      return { address, pool, isRecorded: rank !== proposed };
    });
  }

  #assign({ touched }: Work): ReadonlySet<ObjectKey> {
    const changed = new Set<ObjectKey>();
    for (const key of touched) {
      const entry = this.#entries.get(key);
      const given = entry?.tie === 'ours' ? this.#held(entry.claim).filter(({ isRecorded }) => isRecorded) : [];
      const assignment = given.map(({ address, pool }) => ({ address, pool }));
      if (writeRecord(assignment) === writeRecord(this.#assignments.get(key) ?? [])) continue;
      changed.add(key);
      if (assignment.length === 0) this.#assignments.delete(key);
      else this.#assignments.set(key, assignment);
    }
    return changed;
  }
}

/** What one apply has still to look at. */
class Work {
  readonly dirty = new Set<ObjectKey>();
  /** All that were dirty at some time. */
  readonly touched = new Set<ObjectKey>();
  readonly unsettled = new Set<string>();
  /** Of the ledger, when those that wait were last looked at. */
  openings: number;
  /** Some address has another holder since then. */
  isOtherwise = false;

  constructor(openings: number) {
    this.openings = openings;
  }

  add(key: ObjectKey): void {
    this.dirty.add(key);
    this.touched.add(key);
  }

  unsettle(addresses: Iterable<string>): void {
    for (const address of addresses) this.unsettled.add(address);
  }

  take(): ObjectKey[] {
    const batch = [...this.dirty];
    this.dirty.clear();
    return batch;
  }
}

/** Who asks for certain addresses first, then the older. */
function byNeed(a: Entry, b: Entry): number {
  const isFree = ({ claim }: Entry) => Number(claim.requested?.length === 0);
  return isFree(a) - isFree(b) || compareClaims(a.claim, b.claim);
}

function applicantOf({ applicant }: Claim, view: ClusterView): Applicant {
  const namespace = view.get('Namespace', `/${applicant.namespace}`);
  return { ...applicant, namespaceLabels: namespace?.metadata.labels ?? {} };
}

function everything(view: ClusterView): ViewChange[] {
  const kinds = ['Node', 'Service'] as const;
  return kinds.flatMap((kind) => [...view.all(kind)].map((object) => ({ kind, key: keyOf(object) })));
}
