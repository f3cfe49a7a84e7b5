import { propertyOf, versionOf } from './read.ts';
import type { ObjectKey } from './view.ts';

/** One address in Ingress.status.loadBalancer: either is set. */
export type PublishedAddress = { ip: string } | { hostname: string };

export interface IngressStatus {
  /** Of the object: one that is made anew under the same name is another. */
  uid: string;
  /** In the order of `sorted`. */
  addresses: readonly PublishedAddress[];
  /** Of the object that says so. */
  version: number;
}

/**
 * What Ingress.status.loadBalancer says now, whoever wrote it. Kept beside the view, because routes do not depend on it:
 * our own writes must not come back as changes.
 */
export class IngressStatuses {
  readonly #statusesByKey = new Map<ObjectKey, IngressStatus>();
  #onChange: (key: ObjectKey) => void = () => undefined;

  /** undefined: there is no such Ingress. */
  get(key: ObjectKey): IngressStatus | undefined {
    return this.#statusesByKey.get(key);
  }

  /** Tells who writes statuses that one has changed; there is one listener. */
  onChange(listener: (key: ObjectKey) => void): void {
    this.#onChange = listener;
  }

  /** Reads an Ingress as it came; the status counts when what is returned is called. */
  read(key: ObjectKey, raw: unknown): () => void {
    const status = { uid: uidOf(raw), addresses: addressesOf(raw), version: versionOf(raw) };
    return () => {
      const before = this.#statusesByKey.get(key);
      this.#statusesByKey.set(key, status);
      if (before?.uid !== status.uid || !areSame(before.addresses, status.addresses)) this.#onChange(key);
    };
  }

  forget(key: ObjectKey): void {
    this.#statusesByKey.delete(key);
  }
}

/** Both in the order of `sorted`. */
export function areSame(one: readonly PublishedAddress[], other: readonly PublishedAddress[]): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** In one order and without repetitions, so that equal sets are equal lists. */
export function sorted(addresses: readonly PublishedAddress[]): PublishedAddress[] {
  const byText = new Map(addresses.map((address) => [JSON.stringify(address), address]));
  return [...byText].sort(([one], [other]) => (one < other ? -1 : 1)).map(([, address]) => address);
}

function uidOf(raw: unknown): string {
  return String(propertyOf(propertyOf(raw, 'metadata'), 'uid') ?? '');
}

function addressesOf(raw: unknown): PublishedAddress[] {
  const listed = propertyOf(propertyOf(propertyOf(raw, 'status'), 'loadBalancer'), 'ingress');
  const addresses: PublishedAddress[] = [];
  for (const item of Array.isArray(listed) ? listed : []) {
    const ip = propertyOf(item, 'ip');
    const hostname = propertyOf(item, 'hostname');
    if (typeof ip === 'string' && ip) addresses.push({ ip });
    else if (typeof hostname === 'string' && hostname) addresses.push({ hostname });
  }
  return sorted(addresses);
}
