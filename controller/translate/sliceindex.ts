import type { ObjectOf } from '../watch/objects.ts';
import type { ClusterView, ObjectKey } from '../watch/view.ts';
import { slicesOfEndpoints } from './endpoints.ts';
import { MultiMap } from './multimap.ts';

const serviceLabel = 'kubernetes.io/service-name';

/** Which slices make up which Service. A slice names its Service by label, and the label may change. */
export class SliceIndex {
  readonly #serviceBySlice = new Map<ObjectKey, ObjectKey>();
  readonly #slicesByService = new MultiMap();

  /** Takes note of a changed object. @returns the Services that it makes up, before and after */
  note(view: ClusterView, kind: 'EndpointSlice' | 'Endpoints', key: ObjectKey): ReadonlySet<ObjectKey> {
    // Endpoints carry the name of their Service.
    if (kind === 'Endpoints') return new Set([key]);
    const before = this.#serviceBySlice.get(key);
    const after = serviceOf(view.get('EndpointSlice', key));
    if (before !== after) {
      if (before !== undefined) this.#slicesByService.delete(before, key);
      if (after === undefined) this.#serviceBySlice.delete(key);
      else {
        this.#serviceBySlice.set(key, after);
        this.#slicesByService.add(after, key);
      }
    }
    return new Set([before, after].filter((service) => service !== undefined));
  }

  /** The slices of a Service in order of name, those of an Endpoints object last. */
  of(view: ClusterView, service: ObjectKey): ObjectOf<'EndpointSlice'>[] {
    const slices: ObjectOf<'EndpointSlice'>[] = [];
    for (const key of [...this.#slicesByService.get(service)].sort()) {
      const slice = view.get('EndpointSlice', key);
      if (slice !== undefined) slices.push(slice);
    }
    const endpoints = view.get('Endpoints', service);
    return endpoints === undefined ? slices : [...slices, ...slicesOfEndpoints(endpoints)];
  }
}

function serviceOf(slice: ObjectOf<'EndpointSlice'> | undefined): ObjectKey | undefined {
  const name = slice?.metadata.labels[serviceLabel];
  return slice === undefined || name === undefined ? undefined : `${slice.metadata.namespace}/${name}`;
}
