import type { AnyObject, ObjectKind, ObjectOf } from './objects.ts';

/** `namespace/name`, or `/name` for cluster-scoped objects. */
export type ObjectKey = string;

export function keyOf(object: AnyObject): ObjectKey {
  return `${object.metadata.namespace}/${object.metadata.name}`;
}

/** The way back. A name from a file may hold a slash; a namespace may not. */
export function splitKey(key: ObjectKey): [namespace: string, name: string] {
  const slash = key.indexOf('/');
  return [key.slice(0, slash), key.slice(slash + 1)];
}

/** A consistent set of objects at one moment, as translate reads it. */
export interface ClusterView {
  get<K extends ObjectKind>(kind: K, key: ObjectKey): ObjectOf<K> | undefined;
  all<K extends ObjectKind>(kind: K): Iterable<ObjectOf<K>>;
}

/** One object came, changed or went since the last view. */
export interface ViewChange {
  kind: ObjectKind;
  key: ObjectKey;
}

/**
 * An object that could not be read at all (a wrong type in a field, a syntax error in a file).
 * FileMalformed has kind `File`, the path below the folder as name, and `line:column` as field.
 */
export interface ReadProblem {
  code: 'ObjectMalformed' | 'ObjectDuplicate' | 'FileMalformed' | 'KindUnknown' | 'FieldUnknown';
  kind: string;
  namespace: string;
  name: string;
  field: string;
  message: string;
}

/** What a source (API server or files) tells the pipeline. First call: everything, once all kinds have been listed. */
export interface ViewUpdate {
  view: ClusterView;
  changes: readonly ViewChange[];
  /** All objects that cannot be read now, not only the new ones. */
  unreadable: readonly ReadProblem[];
  /** See Commit in proxy/table/change.ts. */
  seen: Readonly<Record<string, number>>;
  holds: Readonly<Record<string, number>>;
}
