import { type PlanRow, planContract } from '#table/plan.ts';
import type { Problem } from '#table/problem.ts';
import type { AddressPoolStatus } from './addresses/addresspool.ts';
import type { Intent } from './addresses/allocator.ts';
import type { Allocation } from './addresses/record.ts';
import { Planner, type PlanOptions } from './plan/planner.ts';
import { Publisher } from './publish/publisher.ts';
import type { AnnouncedService, AnnouncedWriter } from './status/announced.ts';
import type { PoolWriter } from './status/poolwriter.ts';
import type { EdgeReach, PlanState, ServiceWriter } from './status/servicewriter.ts';
import { type ClusterView, type ObjectKey, splitKey, type ViewUpdate } from './watch/view.ts';

/** Whoever writes what a plan promises. */
interface PlanWriters {
  services: Pick<ServiceWriter, 'planned' | 'answered'>;
  pools: Pick<PoolWriter, 'changed'>;
  announced: Pick<AnnouncedWriter, 'assigned'>;
}

/** What a plan depends on: an edge takes none from a replica that has seen less of these than the plan in force holds. */
const kindsOfPlans: ReadonlySet<string> = new Set([
  ...['Service', 'EndpointSlice', 'Node', 'Namespace', 'AddressPool', 'Announcement', 'BGPPeer'],
]);

/** Name servers of clusters keep what a name leads to for half a minute, and edges ask every ten seconds. */
const findingMs = 60_000;

/** The edges' half of the pipeline: a view becomes a plan, edges take it, and then Services are told. */
export class Plans implements PlanState {
  readonly publisher = new Publisher(planContract);
  readonly #planner: Planner;
  readonly #hearingMs: number;
  /** Edges that have not found us by now are not there. */
  #knowsAll = false;
  #writers: PlanWriters | null = null;
  #view: ClusterView | null = null;
  /** Who has which address is further than what edges were told: a Secret that the plan needs is still being fetched. */
  #isAhead = false;
  /** Since the last commit. */
  readonly #assigned = new Set<ObjectKey>();
  readonly #touched = new Set<ObjectKey>();
  readonly #pools = new Set<string>();
  #turnover = 0;

  /**
   * @param fixedRows rows that no object describes
   * @param hearingMs how long edges may take to find a controller that has just begun
   */
  constructor(options: PlanOptions, fixedRows: readonly PlanRow[], hearingMs = findingMs) {
    this.#planner = new Planner(options);
    this.#hearingMs = hearingMs;
    this.publisher.stage(fixedRows, []);
    this.publisher.onAnswer(() => this.#writers?.services.answered());
  }

  /** From now on these hear of every plan. */
  writeBy(writers: PlanWriters): void {
    this.#writers = writers;
  }

  /** Takes in what changed; edges hear of it at the commit. */
  stage({ view, changes }: Pick<ViewUpdate, 'view' | 'changes'>): {
    problems: readonly Problem[];
    secretsInUse: ReadonlySet<ObjectKey>;
  } {
    const { upserts, deletes, problems, secretsInUse, assigned } = this.#planner.apply(view, changes);
    this.publisher.stage(upserts, deletes);
    this.#isAhead = true;
    for (const key of assigned) this.#assigned.add(key);
    for (const { kind, key } of changes) {
      if (kind === 'Service') this.#touched.add(key);
      if (kind === 'AddressPool') this.#pools.add(splitKey(key)[1]);
    }
    return { problems, secretsInUse };
  }

  commit(view: ClusterView, seen: Readonly<Record<string, number>>, holds: Readonly<Record<string, number>>): void {
    if (this.publisher.current === null) {
      const overdue = () => {
        this.#knowsAll = true;
        this.#writers?.services.answered();
      };
      setTimeout(overdue, this.#hearingMs).unref();
    }
    const { generation } = this.publisher.commit(ofPlans(seen), ofPlans(holds));
    this.#isAhead = false;
    this.#view = view;
    const [assigned, touched, pools] = [[...this.#assigned], [...this.#touched], [...this.#pools]];
    for (const set of [this.#assigned, this.#touched, this.#pools]) set.clear();
    this.#writers?.services.planned({ view, assigned, touched, generation, seen: seen['Service'] ?? 0 });
    const given = assigned.flatMap((key) => this.assignments().get(key) ?? []);
    this.#writers?.announced.assigned(given.map(({ address }) => address));
    const { turnover } = this.#planner.allocator;
    if (turnover !== this.#turnover || pools.length > 0) this.#writers?.pools.changed(pools);
    this.#turnover = turnover;
  }

  intents(): ReadonlyMap<ObjectKey, Intent> {
    return this.#planner.allocator.intents();
  }

  assignments(): ReadonlyMap<ObjectKey, readonly Allocation[]> {
    return this.#planner.allocator.assignments();
  }

  /** By name of pool: how much is in use. */
  usage(): ReadonlyMap<string, AddressPoolStatus> {
    return this.#planner.allocator.usage();
  }

  /** Services that have an address by the plan that edges were told. */
  servicesOf(address: string): AnnouncedService[] {
    const keys = this.publisher.row('address', address)?.serviceIds ?? [];
    return keys.flatMap((key) => {
      const uid = this.#view?.get('Service', key)?.metadata.uid;
      const [namespace, name] = splitKey(key);
      return uid === undefined ? [] : [{ source: { kind: 'Service', namespace, name }, uid }];
    });
  }

  /** What edges have now. Asked for once for many Services: edges times addresses are a million. */
  reach(): EdgeReach {
    if (this.#isAhead) return { isAnnounced: () => false, isWithdrawn: () => false };
    const edges = this.publisher.readers();
    const generations = edges.map(({ appliedGeneration }) => appliedGeneration ?? Number.NEGATIVE_INFINITY);
    const leastByNode = new Map<string, number>();
    for (const [index, { node }] of edges.entries()) {
      if (node === null) continue;
      leastByNode.set(node, Math.min(generations[index] ?? 0, leastByNode.get(node) ?? Number.POSITIVE_INFINITY));
    }
    const leastByAnnouncement = new Map<string, number>();
    /** Infinity: no edge can make it. */
    const leastOf = (announcement: string): number => {
      const known = leastByAnnouncement.get(announcement);
      if (known !== undefined) return known;
      const nodes = this.#planner.announcersOf(announcement);
      const least = Math.min(...nodes.map((node) => leastByNode.get(node) ?? Number.POSITIVE_INFINITY));
      leastByAnnouncement.set(announcement, least);
      return least;
    };
    const leastOfAll = Math.min(...generations);
    // An edge that has yet to find us may announce what we know nothing of.
    const isComplete = this.#knowsAll || this.#planner.announcers().isSubsetOf(new Set(leastByNode.keys()));
    return {
      isAnnounced: (address, generation) => {
        const least = Math.min(...this.#planner.announcementsOf(address).map(leastOf));
        return least !== Number.POSITIVE_INFINITY && least >= generation;
      },
      isWithdrawn: (generation) => isComplete && leastOfAll >= generation,
    };
  }

  /** For people: how much of each pool is in use, and which Service has what. */
  addresses(): object {
    const services = [...this.assignments()].map(([key, given]) => [key, given.map(({ address }) => address)]);
    return { pools: Object.fromEntries(this.usage()), services: Object.fromEntries(services) };
  }
}

function ofPlans(versions: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(versions).filter(([kind]) => kindsOfPlans.has(kind)));
}
