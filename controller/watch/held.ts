import { isDeepStrictEqual } from 'node:util';
import type { AnyObject, ObjectKind, ObjectOf } from './objects.ts';
import { type ClusterView, keyOf, type ObjectKey } from './view.ts';

/**
 * The objects held now, as the view that translate reads. It changes only between two updates, never while one is
 * being handled. An object that comes again with the same content keeps its identity, so that readers may compare by `===`.
 */
export class HeldView implements ClusterView {
  readonly #objectsByKind = new Map<ObjectKind, Map<ObjectKey, AnyObject>>();

  get<K extends ObjectKind>(kind: K, key: ObjectKey): ObjectOf<K> | undefined {
    return this.#objectsByKind.get(kind)?.get(key) as ObjectOf<K> | undefined;
  }

  all<K extends ObjectKind>(kind: K): Iterable<ObjectOf<K>> {
    return (this.#objectsByKind.get(kind)?.values() ?? []) as Iterable<ObjectOf<K>>;
  }

  /** Whether this object would change anything: a new key, another uid, or other content. */
  isNews(object: AnyObject): boolean {
    return !isDeepStrictEqual(this.#objectsByKind.get(object.kind)?.get(keyOf(object)), object);
  }

  /** Returns false when the same content is held already. */
  put(object: AnyObject): boolean {
    if (!this.isNews(object)) return false;
    let objects = this.#objectsByKind.get(object.kind);
    if (!objects) {
      objects = new Map();
      this.#objectsByKind.set(object.kind, objects);
    }
    objects.set(keyOf(object), object);
    return true;
  }

  /** What is held, while this list is walked and things are removed. */
  entries(): { kind: ObjectKind; key: ObjectKey }[] {
    return [...this.#objectsByKind].flatMap(([kind, objects]) => [...objects.keys()].map((key) => ({ kind, key })));
  }

  remove(kind: ObjectKind, key: ObjectKey): boolean {
    return this.#objectsByKind.get(kind)?.delete(key) ?? false;
  }
}
