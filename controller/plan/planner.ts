import type { RefIn } from '#table/contract.ts';
import type { PlanRow, PlanRows } from '#table/plan.ts';
import type { Problem, Source } from '#table/problem.ts';
import { Allocator } from '../addresses/allocator.ts';
import { type ClaimOptions, isOfOurClass } from '../addresses/claim.ts';
import type { Allocation } from '../addresses/record.ts';
import { ProblemStore } from '../translate/problemstore.ts';
import { RowStore } from '../translate/rowstore.ts';
import { SliceIndex } from '../translate/sliceindex.ts';
import type { ObjectOf } from '../watch/objects.ts';
import { type ClusterView, keyOf, type ObjectKey, splitKey, type ViewChange } from '../watch/view.ts';
import { announcementsFor, planAddress, planAnnouncement, type Tenant } from './announcement.ts';
import { nodeRow } from './nodes.ts';
import { planPeer } from './peer.ts';
import { planProblem } from './problems.ts';
import { planService } from './service.ts';

export interface PlanOptions extends ClaimOptions {
  /** Where the passwords of peers are. */
  secretNamespace: string;
}

/** What one apply yields: changed rows since the apply before, and the whole of everything that is small. */
export interface PlanUpdate {
  upserts: readonly PlanRow[];
  deletes: readonly RefIn<PlanRows>[];
  /** All current ones, of addresses too, in a stable order. */
  problems: readonly Problem[];
  /** Secrets of peers, whether they exist or not. */
  secretsInUse: ReadonlySet<ObjectKey>;
  /** Services whose addresses are others than before. */
  assigned: ReadonlySet<ObjectKey>;
}

/**
 * View → plan, incremental by object, as translate/translator.ts does it for tables: one Service with its endpoints, one
 * address, one peer or one announcement at a time. All edges get the same rows; each finds its own part.
 */
export class Planner {
  readonly allocator: Allocator;
  readonly #options: PlanOptions;
  readonly #rows = new RowStore<PlanRows>();
  readonly #problems = new ProblemStore();
  readonly #slices = new SliceIndex();
  readonly #allocationsByService = new Map<ObjectKey, readonly Allocation[]>();
  readonly #servicesByAddress = new Map<string, Set<ObjectKey>>();
  readonly #nodesByAnnouncement = new Map<string, readonly string[]>();
  readonly #announcementsByAddress = new Map<string, readonly string[]>();
  #secretsInUse: ReadonlySet<ObjectKey> = new Set();
  #isFirst = true;

  constructor(options: PlanOptions) {
    this.#options = options;
    this.allocator = new Allocator(options);
  }

  /** The first call reads the whole view. */
  apply(view: ClusterView, changes: readonly ViewChange[]): PlanUpdate {
    const assigned = this.allocator.apply(view, changes);
    const services = new Set(assigned);
    const addresses = new Set<string>();
    const all = this.#isFirst ? everything(view) : changes;
    for (const { kind, key } of all) {
      if (kind === 'Service') services.add(key);
      else if (kind === 'EndpointSlice' || kind === 'Endpoints') {
        for (const service of this.#slices.note(view, kind, key)) services.add(service);
      } else if (kind === 'Node') {
        const node = view.get('Node', key);
        this.#rows.replace(`node:${key}`, node ? [nodeRow(node)] : []);
      }
    }
    for (const key of services) this.#service(view, key, addresses);
    if (this.#isFirst || all.some(({ kind, key }) => this.#isAboutWays(kind, key))) {
      const before = this.#silent();
      this.#ways(view, all);
      const isOtherwise = all.some(({ kind }) => kind === 'AddressPool' || kind === 'Announcement');
      if (isOtherwise || before !== this.#silent()) {
        for (const address of this.#servicesByAddress.keys()) addresses.add(address);
      }
    }
    this.#isFirst = false;
    const announcements = [...view.all('Announcement')];
    for (const address of addresses) this.#address(view, address, announcements);
    this.#problems.replace('allocation', this.allocator.problems());
    return {
      ...this.#rows.takeChanges(),
      problems: this.#problems.all(),
      secretsInUse: this.#secretsInUse,
      assigned,
    };
  }

  /** Names of the announcements of an address. */
  announcementsOf(address: string): readonly string[] {
    return this.#announcementsByAddress.get(address) ?? [];
  }

  /** Nodes that may make an announcement. */
  announcersOf(announcement: string): readonly string[] {
    return this.#nodesByAnnouncement.get(announcement) ?? [];
  }

  /** Nodes that may make any. */
  announcers(): ReadonlySet<string> {
    return new Set([...this.#nodesByAnnouncement.values()].flat());
  }

  /** Announcements that no node makes. */
  #silent(): string {
    const silent = [...this.#nodesByAnnouncement].filter(([, nodes]) => nodes.length === 0);
    return silent.map(([name]) => name).join();
  }

  #isAboutWays(kind: ViewChange['kind'], key: ObjectKey): boolean {
    if (kind === 'Secret') return this.#secretsInUse.has(key);
    return kind === 'Node' || kind === 'AddressPool' || kind === 'Announcement' || kind === 'BGPPeer';
  }

  #service(view: ClusterView, key: ObjectKey, addresses: Set<string>): void {
    const service = view.get('Service', key);
    const allocations = this.allocator.assignments().get(key) ?? [];
    for (const { address } of this.#allocationsByService.get(key) ?? []) {
      this.#servicesByAddress.get(address)?.delete(key);
      addresses.add(address);
    }
    for (const { address } of allocations) {
      const services = this.#servicesByAddress.get(address) ?? new Set();
      this.#servicesByAddress.set(address, services.add(key));
      addresses.add(address);
    }
    if (allocations.length > 0) this.#allocationsByService.set(key, allocations);
    else this.#allocationsByService.delete(key);
    const isOurs = service !== undefined && isOfOurClass(service, this.#options);
    const slices = this.#slices.of(view, key);
    const { rows, problems } = service
      ? planService({ service, slices, isOurs, allocations })
      : { rows: [], problems: [] };
    this.#rows.replace(`service:${key}`, rows);
    this.#problems.replace(`service:${key}`, problems);
  }

  /** Peers and announcements: few, and what they say of nodes changes with any node. */
  #ways(view: ClusterView, changes: readonly ViewChange[]): void {
    const nodes = [...view.all('Node')];
    for (const { kind, key } of changes) {
      if (kind !== 'BGPPeer' && kind !== 'Announcement') continue;
      this.#rows.replace(`${kind}:${key}`, []);
      this.#problems.replace(`${kind}:${key}`, []);
      if (kind === 'Announcement') this.#nodesByAnnouncement.delete(splitKey(key)[1]);
    }
    const peers = new Set<string>();
    const secrets = new Set<ObjectKey>();
    for (const peer of view.all('BGPPeer')) {
      const { passwordSecretRef } = peer.spec;
      const secretKey = passwordSecretRef ? `${this.#options.secretNamespace}/${passwordSecretRef.name}` : null;
      if (secretKey !== null) secrets.add(secretKey);
      const secret = secretKey === null ? null : { key: secretKey, object: view.get('Secret', secretKey) };
      const { rows, problems } = planPeer(peer, secret, nodes);
      if (rows.length > 0) peers.add(peer.metadata.name);
      this.#rows.replace(`BGPPeer:${keyOf(peer)}`, rows);
      this.#problems.replace(`BGPPeer:${keyOf(peer)}`, problems);
    }
    this.#secretsInUse = secrets;
    for (const announcement of view.all('Announcement')) {
      const { rows, problems } = planAnnouncement(announcement, nodes, peers, view);
      for (const { kind, row } of rows) if (kind === 'announcement') this.#nodesByAnnouncement.set(row.id, row.nodes);
      this.#rows.replace(`Announcement:${keyOf(announcement)}`, rows);
      this.#problems.replace(`Announcement:${keyOf(announcement)}`, problems);
    }
  }

  #address(view: ClusterView, address: string, announcements: readonly ObjectOf<'Announcement'>[]): void {
    const keys = [...(this.#servicesByAddress.get(address) ?? [])].sort();
    const allocation = this.#allocationsByService.get(keys[0] ?? '')?.find((each) => each.address === address);
    if (allocation === undefined) {
      this.#servicesByAddress.delete(address);
      this.#announcementsByAddress.delete(address);
      this.#rows.replace(`address:${address}`, []);
      this.#problems.replace(`address:${address}`, []);
      return;
    }
    const tenants = keys.map((id): Tenant => ({ id, labels: view.get('Service', id)?.metadata.labels ?? {} }));
    const names = announcementsFor(allocation.pool, tenants, announcements, view).map(({ metadata }) => metadata.name);
    this.#announcementsByAddress.set(address, names);
    this.#rows.replace(`address:${address}`, [planAddress(allocation, tenants, names)]);
    this.#problems.replace(`address:${address}`, this.#silenceOf(allocation, keys, names));
  }

  /** Why nobody outside learns of an address, to each of its Services. */
  #silenceOf({ address, pool }: Allocation, keys: readonly ObjectKey[], names: readonly string[]): Problem[] {
    if (names.some((name) => this.announcersOf(name).length > 0)) return [];
    return keys.map((key) => {
      const [namespace, name] = splitKey(key);
      const source: Source = { kind: 'Service', namespace, name };
      if (names.length === 0) return planProblem('AddressNotAnnounced', source, { address, pool });
      return planProblem('AddressWithoutNode', source, { address, announcements: [...names].sort().join(', ') });
    });
  }
}

function everything(view: ClusterView): ViewChange[] {
  const kinds = ['EndpointSlice', 'Endpoints', 'Service', 'Node'] as const;
  return kinds.flatMap((kind) => [...view.all(kind)].map((object) => ({ kind, key: keyOf(object) })));
}
