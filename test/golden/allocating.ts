import assert from 'node:assert/strict';
import { Allocator, type Intent } from '../../controller/addresses/allocator.ts';
import { type ClaimOptions, finalizer } from '../../controller/addresses/claim.ts';
import { recordAnnotation, writeRecord } from '../../controller/addresses/record.ts';
import type { AnyObject, ObjectOf } from '../../controller/watch/objects.ts';
import { type ClusterView, keyOf, type ObjectKey, type ViewChange } from '../../controller/watch/view.ts';
import { readObjects, viewOf } from './translating.ts';

type Service = ObjectOf<'Service'>;

export const claimOptions: ClaimOptions = { loadBalancerClass: 'sluice.dev/edge', servesClassless: false };

/** Objects as an API server holds them, and what leaders write into them. */
export class AddressWorld {
  readonly objects = new Map<string, AnyObject>();
  readonly #followers: ViewChange[][] = [];

  put(manifest: unknown): void {
    const { objects, unreadable } = readObjects([manifest]);
    assert.deepEqual(unreadable, []);
    for (const object of objects) this.#set(object);
  }

  /** What the API server does with a deletion: who has a finalizer stays, marked. */
  remove(kind: AnyObject['kind'], key: ObjectKey): void {
    const object = this.objects.get(`${kind} ${key}`);
    if (object?.kind === 'Service' && object.metadata.finalizers.length > 0) {
      this.#set({ ...object, metadata: { ...object.metadata, deletionTimestamp: '2026-02-02T00:00:00Z' } });
      return;
    }
    this.objects.delete(`${kind} ${key}`);
    this.#tell({ kind, key });
  }

  view(): ClusterView {
    return viewOf([...this.objects.values()]);
  }

  /** From now on, all changes go into this list, too. */
  follow(): ViewChange[] {
    const changes: ViewChange[] = [];
    this.#followers.push(changes);
    return changes;
  }

  service(key: ObjectKey): Service | undefined {
    return this.objects.get(`Service ${key}`) as Service | undefined;
  }

  /** As a leader writes it: nothing, if the Service is another one by now. */
  write(key: ObjectKey, { uid, allocations }: Intent): void {
    const service = this.service(key);
    if (!service || service.metadata.uid !== uid) return;
    const { [recordAnnotation]: _, ...annotations } = service.metadata.annotations;
    const others = service.metadata.finalizers.filter((each) => each !== finalizer);
    const isGiven = allocations.length > 0;
    const metadata = {
      ...service.metadata,
      annotations: isGiven ? { ...annotations, [recordAnnotation]: writeRecord(allocations) } : annotations,
      finalizers: isGiven ? [...others, finalizer] : others,
    };
    this.#set({ ...service, metadata, ...(!isGiven && { status: { loadBalancer: { ingress: [] } } }) });
    if (metadata.deletionTimestamp !== '' && metadata.finalizers.length === 0) this.remove('Service', key);
  }

  promise(key: ObjectKey, addresses: readonly string[]): void {
    const service = this.service(key);
    if (service) this.#set({ ...service, status: { loadBalancer: { ingress: addresses.map((ip) => ({ ip })) } } });
  }

  #set(object: AnyObject): void {
    this.objects.set(`${object.kind} ${keyOf(object)}`, object);
    this.#tell({ kind: object.kind, key: keyOf(object) });
  }

  #tell(change: ViewChange): void {
    for (const changes of this.#followers) changes.push(change);
  }
}

/** One controller: it knows of the world what it has heard. */
export class Replica {
  readonly world: AddressWorld;
  readonly #options: ClaimOptions;
  readonly #unheard: ViewChange[];
  allocator: Allocator;

  constructor(world: AddressWorld, options = claimOptions) {
    this.world = world;
    this.#options = options;
    this.#unheard = world.follow();
    this.allocator = new Allocator(options);
  }

  restart(): void {
    this.allocator = new Allocator(this.#options);
  }

  hear(): void {
    this.allocator.apply(this.world.view(), this.#unheard.splice(0));
  }

  /** Leads until there is nothing left to write; every write comes back as a change. */
  settle(): void {
    for (let round = 0; round < 50; round++) {
      this.hear();
      const intents = [...this.allocator.intents()];
      for (const [key, intent] of intents) this.world.write(key, intent);
      const due = this.promises().filter(
        ([key, addresses]) => ipsOf(this.world.service(key)).join() !== addresses.join(),
      );
      for (const [key, addresses] of due) this.world.promise(key, addresses);
      if (intents.length === 0 && due.length === 0) return;
    }
    assert.fail(`there is no end: ${JSON.stringify([...this.allocator.intents()])}`);
  }

  /** What statuses should say. One whose note is about to change waits for that. */
  promises(): [ObjectKey, string[]][] {
    const settled = [...this.allocator.assignments()].filter(([key]) => !this.allocator.intents().has(key));
    return settled.map(([key, allocations]) => [key, allocations.map(({ address }) => address)]);
  }
}

export function ipsOf(service: Service | undefined): string[] {
  return (service?.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => ip ?? []);
}
