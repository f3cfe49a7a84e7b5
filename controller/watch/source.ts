import type { ObjectKey } from './view.ts';

/** Where objects come from: an API server (cluster.ts) or a folder of manifests (files.ts). Both tell the pipeline the same. */
export interface Source {
  /**
   * Names all Secrets that the tables use now; the source looks up those and forgets all others. Returns the keys that
   * have not been looked up yet; when they are (or are refused, or do not come in time), an update says so.
   * A Secret that does not exist counts as looked up.
   */
  useSecrets(keys: ReadonlySet<ObjectKey>): ReadonlySet<ObjectKey>;
  /** By kind of object (files: `File`), for metrics and readiness. */
  state(): Readonly<Record<string, KindState>>;
  /** Ends all watching; no update comes after it. */
  stop(): void;
}

export interface KindState {
  /** How long ago anything was heard of this kind: list, event or bookmark. Infinity before the first. */
  lastEventAgeMs: number;
  /** Full lists made after the first. */
  relists: number;
  /** Listed at least once. */
  isSynced: boolean;
  /** Why the last attempt failed; null while all is well. */
  failure: string | null;
}
