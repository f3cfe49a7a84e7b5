import type { ObjectOf } from './objects.ts';
import type { ClusterView, ObjectKey } from './view.ts';

/**
 * Whether it is to be believed that all endpoints of a slice are unready. When the API server has been away, all nodes are silent
 * for the node controller before they can speak again: it calls every pod unready, though none has changed, and takes it back
 * some seconds later. Kubernetes evicts nobody then, for the same reason (full disruption). Until such a doubt has passed,
 * endpoints of a slice that loses its last ready one stay as they were, unless they are ending or gone, which no silence makes of
 * them; single endpoints come and go as always.
 */
export class Doubt<T> {
  readonly #patienceMs: number;
  /** Since then somebody knows nodes again; Infinity while nobody does. */
  #passedAtMs = Number.NEGATIVE_INFINITY;
  readonly #withheld = new Map<ObjectKey, T>();

  /** @param patienceMs how long pods take to say that they are ready, once their nodes are heard */
  constructor(patienceMs: number) {
    this.#patienceMs = patienceMs;
  }

  /** To be told before slices are asked for, with the nodes as they are now; null: the API server does not tell us of them. */
  look(nodes: Iterable<ObjectOf<'Node'>> | null, nowMs: number): void {
    if (nodes === null || isNobodyHeard(nodes)) this.#passedAtMs = Number.POSITIVE_INFINITY;
    else if (this.#passedAtMs === Number.POSITIVE_INFINITY) this.#passedAtMs = nowMs;
  }

  has(key: ObjectKey): boolean {
    return this.#withheld.has(key);
  }

  /**
   * Keeps the news of a slice back, if it is to be doubted; what was kept back of it before is forgotten in any case.
   *
   * @returns what is to be believed meanwhile; null: the news
   */
  withholds(
    news: T,
    key: ObjectKey,
    slice: ObjectOf<'EndpointSlice'> | null,
    view: ClusterView,
    nowMs: number,
  ): ObjectOf<'EndpointSlice'> | null {
    this.#withheld.delete(key);
    if (slice === null || this.#restMs(nowMs) <= 0) return null;
    const held = view.get('EndpointSlice', key);
    if (held === undefined || !held.endpoints.some(isReady) || slice.endpoints.some(isReady)) return null;
    const heldByPod = new Map(held.endpoints.map((endpoint) => [podOf(endpoint), endpoint]));
    const endpoints = slice.endpoints.map((endpoint) =>
      isStaying(endpoint) ? (heldByPod.get(podOf(endpoint)) ?? endpoint) : endpoint,
    );
    if (!endpoints.some(isReady)) return null;
    this.#withheld.set(key, news);
    return { ...slice, endpoints };
  }

  /** After how long withheld news have to be taken; null: there are none, or nobody knows yet. */
  waitMs(nowMs: number): number | null {
    const restMs = this.#restMs(nowMs);
    return this.#withheld.size === 0 || restMs === Number.POSITIVE_INFINITY ? null : Math.max(0, restMs);
  }

  release(): T[] {
    const all = [...this.#withheld.values()];
    this.#withheld.clear();
    return all;
  }

  #restMs(nowMs: number): number {
    return this.#passedAtMs + this.#patienceMs - nowMs;
  }
}

/** All are unready at once, which says more about who watches them than about them (KEP-3458). */
function isNobodyHeard(nodes: Iterable<ObjectOf<'Node'>>): boolean {
  let count = 0;
  for (const { status } of nodes) {
    const ready = status.conditions.find(({ type }) => type === 'Ready')?.status ?? 'True';
    if (ready === 'True') return false;
    count++;
  }
  return count > 0;
}

type Endpoint = ObjectOf<'EndpointSlice'>['endpoints'][number];

function podOf({ addresses, targetRef }: Endpoint): string {
  return `${addresses[0]} ${targetRef?.uid}`;
}

function isReady({ conditions }: Endpoint): boolean {
  return conditions?.ready ?? true;
}

function isStaying({ conditions }: Endpoint): boolean {
  return !(conditions?.terminating ?? false);
}
