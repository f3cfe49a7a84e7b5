import type { AnyObject, ObjectKind, ObjectOf } from '../watch/objects.ts';
import { type ClusterView, keyOf, type ObjectKey } from '../watch/view.ts';

/**
 * The view as it would be with one object more, or another one in its place. Of Ingresses and endpoints there are only those
 * that share a host or a Service with the object: no others bear upon it.
 */
export class TrialView implements ClusterView {
  readonly #view: ClusterView;
  readonly #object: AnyObject;
  readonly #key: ObjectKey;
  readonly #hosts: ReadonlySet<string>;
  readonly #services: ReadonlySet<ObjectKey>;

  constructor(view: ClusterView, object: AnyObject) {
    this.#view = view;
    this.#object = object;
    this.#key = keyOf(object);
    const isIngress = object.kind === 'Ingress';
    this.#hosts = new Set(isIngress ? hostsOf(object) : []);
    this.#services = new Set(isIngress ? servicesOf(object) : []);
  }

  get<K extends ObjectKind>(kind: K, key: ObjectKey): ObjectOf<K> | undefined {
    if (kind === this.#object.kind && key === this.#key) return this.#object as ObjectOf<K>;
    return this.#view.get(kind, key);
  }

  *all<K extends ObjectKind>(kind: K): Iterable<ObjectOf<K>> {
    const isOwnKind = kind === this.#object.kind;
    if (isOwnKind) yield this.#object as ObjectOf<K>;
    for (const object of this.#view.all(kind)) {
      if (isOwnKind && keyOf(object) === this.#key) continue;
      if (this.#bearsUpon(object)) yield object;
    }
  }

  #bearsUpon(object: AnyObject): boolean {
    if (this.#object.kind !== 'Ingress') return true;
    switch (object.kind) {
      case 'Ingress':
        return (
          hostsOf(object).some((host) => this.#hosts.has(host)) ||
          servicesOf(object).some((service) => this.#services.has(service))
        );
      // Whether a Service has endpoints is no fault of an Ingress.
      case 'EndpointSlice':
      case 'Endpoints':
        return false;
      default:
        return true;
    }
  }
}

/** Without rules, a default backend is for all hosts that have none. */
function hostsOf({ spec }: ObjectOf<'Ingress'>): string[] {
  const ruled = spec.rules.length === 0 ? [''] : spec.rules.map(({ host = '' }) => host);
  return [...ruled, ...spec.tls.flatMap(({ hosts }) => hosts)];
}

function servicesOf({ metadata, spec }: ObjectOf<'Ingress'>): ObjectKey[] {
  const backends = [
    spec.defaultBackend,
    ...spec.rules.flatMap(({ http }) => http?.paths ?? []).map(({ backend }) => backend),
  ];
  return backends.flatMap((backend) => (backend?.service ? [`${metadata.namespace}/${backend.service.name}`] : []));
}
